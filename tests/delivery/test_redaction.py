"""Secrets that a partner sends back are redacted in every spelling."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from app.delivery.call_result import CallResult, Detail, DetailCode
from app.delivery.credentials import Credentials
from app.delivery.http_client import Target
from app.delivery.redaction import without_secrets
from app.delivery.retry_policy import judge
from app.partners.masking import MASK, masked, secrets_of
from app.partners.models import Partner

SECRET = 'a/se"cret\\of ours é'
SPELLINGS = {"as it is": SECRET, "as JSON": json.dumps(SECRET)[1:-1]}
SPELLINGS["as JSON in UTF-8"] = json.dumps(SECRET, ensure_ascii=False)[1:-1]
SPELLINGS["as JSON with escaped slashes"] = SPELLINGS["as JSON"].replace("/", "\\/")
SPELLINGS["as JSON with every character escaped"] = "".join(
    f"\\u{ord(character):04X}" for character in SECRET
)

PAIR = base64.b64encode(b"po:client+s%2Fcret").decode()


def result_with(spelling: str) -> CallResult:
    body = f'{{"response_code":1,"response_message":"no {spelling}"}}'
    headers, size = (("X-Key", spelling),), len(body.encode())
    detail = Detail.of(DetailCode.INTERNAL_ERROR, cause=f"cause: {spelling}")
    return CallResult(None, detail, 200, headers, body.encode(), size, False, None, 1.0, True)


def verdict_on(result: CallResult) -> Any:
    return judge(
        result, attempts=1, schedule=[5], success_codes=[0], object_id="a", after_unknown=False, jitter=0
    )


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_secret_is_redacted_in_every_spelling(spelling: str) -> None:
    result = result_with(spelling)
    hidden, verdict = without_secrets(result, verdict_on(result), (SECRET,))

    for redacted in (hidden, result.masked((SECRET,))):
        assert redacted.body.decode() == result.body.decode().replace(spelling, MASK)
        assert redacted.body_size == len(redacted.body)
        cause = redacted.detail.params["cause"]
        assert (cause, redacted.headers) == (f"cause: {MASK}", (("X-Key", MASK),))
    assert SECRET not in verdict.response_message
    assert masked(f"key {spelling}", [SECRET]) == f"key {MASK}"


def test_response_without_secrets_is_unchanged() -> None:
    result = result_with("nothing of the kind")

    assert without_secrets(result, verdict := verdict_on(result), (SECRET,)) == (result, verdict)
    assert result.masked((SECRET,)) == result


def test_secret_in_decoded_reply_is_redacted_whatever_its_spelling() -> None:
    result = result_with("s3cret-\\u006ff-ours")
    _, verdict = without_secrets(result, verdict_on(result), ("s3cret-of-ours",))

    assert verdict.response_message == f"no {MASK}"


@pytest.mark.parametrize(
    "secret",
    ["a-header", "after-scheme", "bearer-token", "client s/cret", "client+s%2Fcret", "signing-secret", PAIR],
)
def test_secrets_of_partner_in_every_form_are_masked(secret: str) -> None:
    partner = Partner(
        headers=[["X-Key", "a-header"], ["Authorization", "Token after-scheme"]],
        bearer_token="bearer-token",
        oauth={"client_id": "po", "client_secret": "client s/cret"},
        signing_secrets=[{"secret": "signing-secret"}],
        client_certificate="",
    )

    assert masked(f"received {secret}.", secrets_of(partner)) == f"received {MASK}."


def test_cookie_of_a_partner_is_redacted() -> None:
    result = replace(
        result_with("nothing of the kind"), headers=(("SET-cookie", "session=1"), ("X-Key", "a"))
    )

    assert result.masked(()).headers == (("SET-cookie", MASK), ("X-Key", "a"))


def test_repr_of_credentials_shows_no_secret() -> None:
    target = Target("https://a.example/", (("X-Key", "s3cret-of-ours"),))

    assert "s3cret" not in repr(Credentials(target, None, ("whsec_s3cret",), ("whsec_s3cret",)))
