"""Masks our secrets in a response before it is stored: a partner may send back what it received."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter

from app.delivery.credentials import Credentials
from app.delivery.outcome import Outcome
from app.delivery.retry_policy import Verdict
from app.partners.masking import MASK, MIN_MASKED_LENGTH, spellings

SAID = ("response_message", "result", "req_msg_id", "error_cd", "error_dtl", "error_field")
"""Fields of a verdict that hold the partner's text."""
_said = attrgetter(*SAID)


def without_secrets(outcome: Outcome, verdict: Verdict, credentials: Credentials) -> tuple[Outcome, Verdict]:
    """The same answer without our secrets: on a page, in an export and in a search nobody meets them.

    The verdict was made of the answer as it came. Almost always there is nothing to hide.
    """
    secrets = secrets_in(credentials)
    # What was said was read out of the body, where it may have stood in yet another spelling.
    said = _said(verdict)
    words = "\n".join([outcome.detail, *said, *(value for _, value in outcome.headers)])
    told = b"\n".join([outcome.body, words.encode("utf-8", "replace")])
    met = [secret for secret, raw in secrets if raw in told]
    if not met:
        return outcome, verdict
    unsaid = {name: _hidden(text, secrets) for name, text in zip(SAID, said, strict=True)}
    return outcome.without(met, MASK), replace(verdict, **unsaid)  # type: ignore[arg-type]


def secrets_in(credentials: Credentials) -> tuple[tuple[str, bytes], ...]:
    """The secrets that a send carries, in every spelling, as text and as bytes; the longest first.

    What is very short stands in texts by chance.
    """
    values = [value for _, value in credentials.target.headers]
    # A scheme such as Bearer is no secret, what follows it is.
    values += [value.partition(" ")[2] for value in values]
    values += credentials.signing_secrets
    if credentials.grant is not None:
        values.append(credentials.grant.client_secret)
    return _spelled(tuple(values))


@lru_cache(maxsize=256)
def _spelled(values: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    found = {one for value in values if len(value) >= MIN_MASKED_LENGTH for one in spellings(value)}
    return tuple((one, one.encode()) for one in sorted(found, key=len, reverse=True))


def _hidden(text: str, secrets: Iterable[tuple[str, bytes]]) -> str:
    for secret, _ in secrets:
        text = text.replace(secret, MASK)
    return text
