"""Masks our secrets in a response before it is stored: a partner may send back what it received."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.delivery.call_result import CallResult
from app.delivery.retry_policy import Verdict
from app.partners.masking import masker

PARTNER_TEXTS = ("response_message", "result", "req_msg_id", "error_cd", "error_dtl", "error_field")
"""Fields of a verdict that hold the partner's text."""


def without_secrets(
    result: CallResult, verdict: Verdict, secrets: tuple[str, ...]
) -> tuple[CallResult, Verdict]:
    """The result and the verdict with our secrets masked, so that pages and exports never show them."""
    mask = masker(secrets)
    # These texts were decoded from the body, which may spell them differently.
    texts = {name: getattr(verdict, name) for name in PARTNER_TEXTS}
    masked_texts: dict[str, Any] = {name: mask.text(text) for name, text in texts.items()}
    if masked_texts != texts:
        verdict = replace(verdict, **masked_texts)
    return result.masked(secrets), verdict
