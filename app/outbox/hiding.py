"""What a partner sends back may hold what we sent it: our secrets leave an answer before it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from app.outbox.credentials import Credentials
from app.outbox.retry import Verdict
from app.outbox.wire.outcome import Outcome
from app.partners.masking import MASK, SHORTEST_MASKED

SAID = ("response_message", "result", "req_msg_id", "error_cd", "error_dtl", "error_field")
"""What of a verdict is the partner's own words."""


def without_secrets(outcome: Outcome, verdict: Verdict, credentials: Credentials) -> tuple[Outcome, Verdict]:
    """The same answer without our secrets: on a page, in an export and in a search nobody meets them.

    The verdict was made of the answer as it came. Almost always there is nothing to hide.
    """
    secrets = secrets_in(credentials)
    told = b"\n".join([outcome.body, outcome.detail.encode(), *_header_bytes(outcome)])
    met = [secret for secret in secrets if secret.encode() in told]
    if not met:
        return outcome, verdict
    body = outcome.body
    for secret in met:
        body = body.replace(secret.encode(), MASK.encode())
    grown = len(body) - len(outcome.body)
    hidden = replace(
        outcome,
        body=body,
        # So that what is kept and what is said of its size still fit each other.
        body_size=None if outcome.body_size is None else max(outcome.body_size + grown, len(body)),
        headers=tuple((name, _hidden(value, met)) for name, value in outcome.headers),
        detail=_hidden(outcome.detail, met),
    )
    said = {name: _hidden(getattr(verdict, name), met) for name in SAID}
    return hidden, replace(verdict, **said)  # type: ignore[arg-type]


def secrets_in(credentials: Credentials) -> list[str]:
    """The secrets that a send carries, the longest first; what is very short stands in texts by chance."""
    values = [value for _, value in credentials.target.headers]
    # A scheme such as Bearer is no secret, what follows it is.
    values += [value.partition(" ")[2] for value in values]
    values += credentials.signing_secrets
    if credentials.grant is not None:
        values.append(credentials.grant.client_secret)
    return sorted({value for value in values if len(value) >= SHORTEST_MASKED}, key=len, reverse=True)


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _header_bytes(outcome: Outcome) -> list[bytes]:
    return [value.encode("utf-8", "replace") for _, value in outcome.headers]
