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

PARTNER_TEXTS = ("response_message", "result", "req_msg_id", "error_cd", "error_dtl", "error_field")
"""Fields of a verdict that hold the partner's text."""
_partner_texts = attrgetter(*PARTNER_TEXTS)


def without_secrets(outcome: Outcome, verdict: Verdict, credentials: Credentials) -> tuple[Outcome, Verdict]:
    """Return the outcome and the verdict with our secrets masked, so that pages and exports never show them.

    Usually there is nothing to mask.
    """
    secrets = secrets_in(credentials)
    # These texts were decoded from the body, which may spell them differently.
    texts = _partner_texts(verdict)
    decoded = "\n".join([*outcome.detail.texts, *texts, *(value for _, value in outcome.headers)])
    searched = b"\n".join([outcome.body, decoded.encode("utf-8", "replace")])
    matches = [secret for secret, raw in secrets if raw in searched]
    if not matches:
        return outcome, verdict
    masked_texts = {name: _masked(text, secrets) for name, text in zip(PARTNER_TEXTS, texts, strict=True)}
    return outcome.without(matches, MASK), replace(verdict, **masked_texts)  # type: ignore[arg-type]


def secrets_in(credentials: Credentials) -> tuple[tuple[str, bytes], ...]:
    """Return the secrets of a send in every spelling, as text and as bytes; the longest first.

    Very short ones are left out: they occur in texts by chance.
    """
    values = [value for _, value in credentials.target.headers]
    # A scheme such as Bearer is not secret, but the value after it is.
    values += [value.partition(" ")[2] for value in values]
    values += credentials.signing_secrets
    if credentials.grant is not None:
        values.append(credentials.grant.client_secret)
    return _spelled(tuple(values))


@lru_cache(maxsize=256)
def _spelled(values: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    texts = {text for value in values if len(value) >= MIN_MASKED_LENGTH for text in spellings(value)}
    return tuple((text, text.encode()) for text in sorted(texts, key=len, reverse=True))


def _masked(text: str, secrets: Iterable[tuple[str, bytes]]) -> str:
    for secret, _ in secrets:
        text = text.replace(secret, MASK)
    return text
