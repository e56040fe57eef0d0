"""Read and write JSON: every message from a partner is read here.

Decimals stay exact, and each limit is checked before the work that it prevents.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, NoReturn

import simplejson

from app.network.vocabulary import ErrorCode

BYTES_MAX = 1_048_576
DEPTH_MAX = 64
NUMBER_CHARACTERS_MAX = 64
EXPONENT_MAX = 64
INTEGER_MAX = 2**63 - 1
INTEGER_MIN = -(2**63)

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_OPENING = b"[{"
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")
# Precise enough that normalizing never rounds a number that the reader accepts.
_EXACT = Context(prec=2 * (NUMBER_CHARACTERS_MAX + EXPONENT_MAX), traps=[])


class Unreadable(ValueError):
    """The body is not acceptable JSON; `detail` is a sentence for the sender."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def read_json(raw: bytes, *, max_bytes: int = BYTES_MAX) -> Any:
    """Parse a body of at most `max_bytes` bytes; numbers become int (signed 64 bit) or exact Decimal.

    Raises Unreadable, and no other exception, for every rejected body.
    """
    text = _decoded(raw, max_bytes)
    _check_depth(raw)
    try:
        value = _DECODER.decode(text)
    except Unreadable:
        raise
    except json.JSONDecodeError as error:
        location = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(ErrorCode.UNREADABLE, f"The body is not valid JSON ({location}).") from None
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable(ErrorCode.UNREADABLE, "The body is not valid JSON.") from None
    if _SUSPICIOUS_ESCAPE.search(text):
        _check_strings(value)
    return value


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON with exact Decimals. TypeError for values that JSON does not have."""
    text = simplejson.dumps(
        value, use_decimal=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode()


def canonical_sha256(value: Any) -> str:
    """A hex SHA-256 that is equal for equal content.

    The order of keys, the spelling of numbers (18, 18.00) and the top-level `device` do not matter.
    """
    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if name != "device"}
    text = simplejson.dumps(
        _canonical(value), use_decimal=True, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _reject(detail: str) -> NoReturn:
    raise Unreadable(ErrorCode.UNREADABLE, detail)


def _decoded(raw: bytes, max_bytes: int) -> str:
    if len(raw) > max_bytes:
        raise Unreadable(ErrorCode.TOO_LARGE, f"The body is larger than {max_bytes} bytes.")
    if raw.startswith(_BYTE_ORDER_MARKS):
        _reject("The body begins with a byte order mark; send plain UTF-8.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _reject(f"The body is not UTF-8 (byte {error.start}).")
    if not text or text.isspace():
        _reject("The body is empty.")
    return text


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_MAX:
        return
    if b"\\" in raw:
        raw = _ESCAPED.sub(b"", raw)
    # Every second piece between quotes is outside of strings, up to the first syntax error.
    brackets = b"".join(raw.split(b'"')[::2]).translate(None, _NO_BRACKET)
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPENING else -1
        if depth > DEPTH_MAX:
            _reject(f"The body is nested deeper than {DEPTH_MAX} levels.")


def _check_strings(value: Any) -> None:
    for text in _strings(value):
        if match := _NUL_OR_SURROGATE.search(text):
            _reject(
                "A string contains the character U+0000."
                if match.group() == "\x00"
                else "A string contains half of a surrogate pair."
            )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _integer(literal: str) -> int:
    if len(literal) > len(str(INTEGER_MIN)) or not INTEGER_MIN <= (number := int(literal)) <= INTEGER_MAX:
        _reject("A whole number does not fit into 64 bits.")
    return number


def _decimal(literal: str) -> Decimal:
    if len(literal) > NUMBER_CHARACTERS_MAX:
        _reject(f"A number has more than {NUMBER_CHARACTERS_MAX} characters.")
    exponent = literal.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > EXPONENT_MAX:
        _reject(f"A number has an exponent beyond {EXPONENT_MAX}.")
    return Decimal(literal)


def _constant(literal: str) -> NoReturn:
    _reject(f"{literal} is not a JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _reject("An object has a duplicate key.")
    return members


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_object
)


def _canonical(value: Any) -> Any:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {name: _canonical(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(part) for part in value]
    if isinstance(value, int | Decimal):
        return Decimal(value).normalize(_EXACT) if value else 0
    raise TypeError(f"{type(value).__name__} has no canonical JSON")
