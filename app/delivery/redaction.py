"""Masks our secrets in a response before it is stored: a partner may send back what it received."""

from __future__ import annotations

from dataclasses import replace

from app.delivery.credentials import Credentials
from app.delivery.outcome import Outcome
from app.delivery.retry_policy import Verdict
from app.partners.masking import masker

PARTNER_TEXTS = ("response_message", "result", "req_msg_id", "error_cd", "error_dtl", "error_field")
"""Fields of a verdict that hold the partner's text."""


def without_secrets(outcome: Outcome, verdict: Verdict, credentials: Credentials) -> tuple[Outcome, Verdict]:
    """The outcome and the verdict with our secrets masked, so that pages and exports never show them."""
    secrets = _secrets(credentials)
    mask = masker(secrets)
    # These texts were decoded from the body, which may spell them differently.
    texts = {name: mask.text(getattr(verdict, name)) for name in PARTNER_TEXTS}
    return outcome.masked(secrets), replace(verdict, **texts)  # type: ignore[arg-type]


def _secrets(credentials: Credentials) -> tuple[str, ...]:
    """The secrets that a send with these credentials contains."""
    values = [value for _, value in credentials.target.headers]
    # A scheme such as Bearer is not secret, but the value after it is.
    values += [value.partition(" ")[2] for value in values]
    values += credentials.signing_secrets
    if credentials.grant is not None:
        values.append(credentials.grant.client_secret)
    return tuple(values)
