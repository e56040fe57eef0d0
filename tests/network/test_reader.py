"""Any bytes are read as a safe value or rejected with a reason."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network import reader
from app.network.reader import Unreadable, canonical_sha256, dumps, read_json
from app.network.vocabulary import ErrorCode

ORDERS = Path("app/demo/orders.jsonl").read_bytes().splitlines()

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
numbers = st.integers(-(2**63), 2**63 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=3
)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda part: st.lists(part, max_size=5) | st.dictionaries(texts, part, max_size=5),
    max_leaves=30,
)


def refusal(raw: bytes, **limits: int) -> Unreadable:
    with pytest.raises(Unreadable) as refused:
        read_json(raw, **limits)
    assert refused.value.detail.endswith(".")
    return refused.value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "byte order mark"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\xc0\x80"}', "UTF-8"),
        (b'{"a":', "line 1, column 6"),
        (b"{'a':1}", "line 1, column 2"),
        (b"{} {}", "line 1, column 4"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":.5}', "not valid JSON"),
        (b'{"a":"\x00"}', "not valid JSON"),
        (b'{"a":"line\nbreak"}', "not valid JSON"),
        (b'{"a":"\\x"}', "not valid JSON"),
        (b"\x00", "not valid JSON"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1,"a":1}', "duplicate key"),
        (b'{"a":1,"\\u0061":2}', "duplicate key"),
        (b'{"b":[{"a":1,"a":2}]}', "duplicate key"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"\\u0000":1}', "U+0000"),
        (b'["x",{"a":["y\\u0000"]}]', "U+0000"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'{"a":"\\ude00\\ud83d"}', "surrogate"),
        (b'{"a":9223372036854775808}', "64 bits"),
        (b'{"a":-9223372036854775809}', "64 bits"),
        (b'{"a":' + b"9" * 5000 + b"}", "64 bits"),
        (b'{"a":-' + b"9" * 5000 + b"}", "64 bits"),
        (b'{"a":0.' + b"1" * 5000 + b"}", "64 characters"),
        (b'{"a":1e9999999}', "exponent"),
        (b'{"a":1E+9999999}', "exponent"),
        (b'{"a":1e-9999999}', "exponent"),
        (b'{"a":0e' + b"9" * 5000 + b"}", "64 characters"),
        (b"[" * 100_000, "64 levels"),
        (b'{"a":' * 100_000, "64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "64 levels"),
        (b'[{"a":' * 40 + b"1" + b"}]" * 40, "64 levels"),
    ],
)
def test_hazardous_json_is_rejected_with_a_reason(raw: bytes, reason: str) -> None:
    refused = refusal(raw)
    assert reason in refused.detail
    assert refused.code is ErrorCode.UNREADABLE


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "The body is empty."),
        (b"\xff\xfe", "The body begins with a byte order mark; send plain UTF-8."),
        (b'"\\u0000"', "A string contains the character U+0000."),
        (b'"\\ud800"', "A string contains half of a surrogate pair."),
        (b"9223372036854775808", "A whole number does not fit into 64 bits."),
        (b'{"a":1,"a":1}', "An object has a duplicate key."),
    ],
)
def test_refusal_detail_is_a_full_sentence(raw: bytes, detail: str) -> None:
    assert refusal(raw).detail == detail


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError])
def test_body_on_which_the_parser_fails_is_unreadable(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def give_up(_text: str) -> None:
        raise error

    monkeypatch.setattr(reader, "_DECODER", SimpleNamespace(decode=give_up))
    refused = refusal(b"{}")
    assert (refused.code, refused.detail) == (ErrorCode.UNREADABLE, "The body is not valid JSON.")


def test_body_over_the_limit_is_too_large_and_at_the_limit_is_not() -> None:
    body = b'"' + b"x" * (1_048_576 - 2) + b'"'
    assert len(read_json(body)) == len(body) - 2
    assert refusal(body + b" ").code is ErrorCode.TOO_LARGE
    assert refusal(b"[1,2]", max_bytes=4).code is ErrorCode.TOO_LARGE


def test_depth_of_64_is_read_and_65_is_rejected() -> None:
    read_json(b"[" * 64 + b"]" * 64)
    refusal(b"[" * 65 + b"]" * 65)


@pytest.mark.parametrize(
    "text", ['"' + "[{" * 100 + '"', '"\\"' + "[{" * 100 + '"', '["\\\\",' + "[]," * 99 + "1]"]
)
def test_depth_ignores_brackets_in_strings_and_siblings(text: str) -> None:
    assert read_json(text.encode()) == json.loads(text)


def test_depth_is_counted_after_an_escaped_quote() -> None:
    refusal(b'["\\"",' + b"[" * 70 + b"]" * 71)


@pytest.mark.parametrize("start", [b"]" * 100, b"{}" * 100, b'["a"]' + b"]" * 100])
def test_depth_is_counted_after_closing_brackets(start: bytes) -> None:
    """The parser stops at the first unmatched closing bracket, before the depth."""
    assert refusal(start + b"[" * 100_000).code is ErrorCode.UNREADABLE


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_depth_is_counted_after_closed_brackets(bracket: bytes) -> None:
    closing = b"]" if bracket == b"[" else b"}"
    siblings = b"[]," * 30
    read_json(b"[" + siblings + bracket * 63 + b"1" + closing * 63 + b"]")
    assert "64 levels" in refusal(b"[" + siblings + bracket * 64 + b"1" + closing * 64 + b"]").detail


def test_decimals_and_largest_integers_are_read_exactly() -> None:
    value = read_json(b'[186.400, 1e2, -0.0, 9223372036854775807, -9223372036854775808, "\\ud83d\\ude00"]')
    assert [str(part) for part in value[:3]] == ["186.400", "1E+2", "-0.0"]
    assert value[3:] == [2**63 - 1, -(2**63), "😀"]
    assert isinstance(value[0], Decimal)


def test_escaped_backslash_before_u0000_is_plain_text() -> None:
    assert read_json(b'"\\\\u0000"') == "\\u0000"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 1_048_576,
        b'"' + b'\\"' * 500_000,
        b"[" * 70 + b'"' + b'\\"' * 400_000 + b"\\",
        b"]" * 1_048_576,
        b"[" + b"1," * 500_000,
        b"1" * 1_048_576,
        b"1." + b"1" * 1_000_000,
        b'["' + b"\\ud800" * 170_000 + b'"]',
    ],
)
@pytest.mark.timeout(30)
def test_largest_hostile_body_is_rejected_in_time(raw: bytes) -> None:
    refusal(raw)


@given(st.binary(max_size=200))
def test_any_bytes_return_a_value_or_unreadable(raw: bytes) -> None:
    try:
        read_json(raw)
    except Unreadable as refused:
        assert refused.detail


@given(st.text('[]{}",:\\u0d8N1eE-+. ', max_size=100))
def test_almost_json_returns_a_value_or_unreadable(text: str) -> None:
    try:
        read_json(text.encode())
    except Unreadable as refused:
        assert refused.detail


@given(documents)
def test_written_json_is_read_back_equal(document: object) -> None:
    read = read_json(dumps(document))
    assert read == document
    assert dumps(read) == dumps(document)


def test_dumps_is_compact_utf8_with_exact_digits() -> None:
    assert dumps(read_json('{ "name": "मेरा", "price": 186.400 }'.encode())) == (
        '{"name":"मेरा","price":186.400}'.encode()
    )


@pytest.mark.parametrize("raw", ORDERS[:10])
def test_order_read_and_written_is_unchanged(raw: bytes) -> None:
    assert read_json(dumps(read_json(raw))) == read_json(raw)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_dumps_refuses_numbers_that_json_does_not_have(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps({"a": value})


def test_number_limits_are_exact() -> None:
    assert read_json(b"0." + b"1" * 62) and read_json(b"1e64") and read_json(b"1e-64")
    assert "64 characters" in refusal(b"0." + b"1" * 63).detail
    for raw in (b"1e65", b"1e-65"):
        assert refusal(raw).detail == "A number has an exponent beyond 64."


def test_refusal_text_is_its_detail() -> None:
    refused = refusal(b"[NaN]")
    assert str(refused) == refused.detail == "NaN is not a JSON number."


def test_digest_is_the_one_of_the_canonical_text() -> None:
    """Digests are stored, so they must stay the same in later versions."""
    document = '{"device":{},"b":-18.50,"a":["é",0.0,null,true,1e2]}'
    canonical = '{"a":["é",0,null,true,1E+2],"b":-18.5}'
    assert digest(document) == hashlib.sha256(canonical.encode()).hexdigest()


def test_digest_of_another_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="bytes has no canonical JSON"):
        canonical_sha256([b""])


def digest(text: str) -> str:
    return canonical_sha256(read_json(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":18,"b":[1.5,{"c":0}]}',
        '{"b":[1.5,{"c":0}],"a":18}',
        '{"a":18.0,"b":[1.50,{"c":0.0}]}',
        '{"a":1.8e1,"b":[15e-1,{"c":-0.0}]}',
        '{"device":{"tag":{}},"a":18.00,"b":[1.5,{"c":0}]}',
    ],
)
def test_digest_of_equal_content_is_equal(text: str) -> None:
    assert digest(text) == digest('{"a":18,"b":[1.5,{"c":0}]}')


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"18","b":[1.5,{"c":0}]}',
        '{"a":18,"b":[1.5,{"c":false}]}',
        '{"a":18,"b":[1.5,{"c":null}]}',
        '{"a":18,"b":[{"c":0},1.5]}',
        '{"a":18,"b":[1.5,{"c":0,"device":1}]}',
        '{"a":18,"b":[1.5,{"c":0}],"d":null}',
        '{"a":18.0000000000000000000000000000000000001,"b":[1.5,{"c":0}]}',
    ],
)
def test_digest_of_other_content_differs(text: str) -> None:
    assert digest(text) != digest('{"a":18,"b":[1.5,{"c":0}]}')


@given(documents)
def test_digest_ignores_the_order_of_keys(document: object) -> None:
    def reversed_keys(value: object) -> object:
        if isinstance(value, dict):
            return {key: reversed_keys(part) for key, part in reversed(value.items())}
        return [reversed_keys(part) for part in value] if isinstance(value, list) else value

    assert canonical_sha256(reversed_keys(document)) == canonical_sha256(document)
