"""Standard Webhooks: the public test vector, rotation, and invalid signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.network.signing import BadSecret, key_of, new_secret, sign, verify

# The test vector of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE}


def test_signature_of_the_public_test_vector_is_equal() -> None:
    assert sign([SECRET], ID, AT, BODY) == HEADERS
    assert verify([SECRET], HEADERS, BODY, AT)
    assert key_of(SECRET) == key_of(SECRET.removeprefix("whsec_"))


def test_rotation_accepts_old_and_new_secret() -> None:
    new, old = new_secret(), new_secret()
    headers = sign([new, old], ID, AT, BODY)
    assert len(headers["webhook-signature"].split()) == 2
    assert verify([new], headers, BODY, AT)
    assert verify([old], headers, BODY, AT)
    assert verify([SECRET, old], headers, BODY, AT)
    assert not verify([SECRET], headers, BODY, AT)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_another"},
        {"webhook-id": ""},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "٣"},
        {"webhook-signature": ""},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": SIGNATURE[:-2] + "A="},
        {"webhook-signature": "v1," + "é" * 44},
    ],
)
def test_changed_header_is_refused(change: dict[str, str]) -> None:
    assert not verify([SECRET], HEADERS | change, BODY, AT)


def test_changed_body_or_no_secret_is_refused() -> None:
    assert not verify([SECRET], HEADERS, BODY + b" ", AT)
    assert not verify([], HEADERS, BODY, AT)
    assert not verify([SECRET], {}, BODY, AT)
    assert sign([], ID, AT, BODY) == {}


@pytest.mark.parametrize(("seconds", "valid"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_timestamp_tolerance_is_five_minutes(seconds: int, valid: bool) -> None:
    assert verify([SECRET], HEADERS, BODY, AT + timedelta(seconds=seconds)) is valid


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "QUFB" * 40])
def test_invalid_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSecret) as refused:
        key_of(text)
    assert not text.removeprefix("whsec_") or text not in str(refused.value)


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40).filter(str.strip))
def test_any_signed_message_verifies(body: bytes, message_id: str) -> None:
    secret = new_secret()
    headers = sign([secret], message_id, AT, body)
    assert verify([secret], headers, body, AT)
    assert not verify([secret], headers, body + b"x", AT)
