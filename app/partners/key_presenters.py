"""The keys and secrets of a partner as its page of keys shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for

from app.partners.masking import last_characters
from app.partners.models import InboundKey, InboundSecret, Partner
from app.partners.presenters import time_of


def ending_in(secret: str) -> str:
    """Return how users tell a secret from others."""
    tail = last_characters(secret)
    return f"ending in …{tail}" if tail else "without a hint"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key or secret that can be revoked. ``consequence`` is what stops working then."""

    label: str
    since: datetime
    until: datetime | None
    revoke_url: str
    consequence: str


@dataclass(frozen=True, slots=True)
class KeySection:
    """One kind of key or secret: those that are active, and the form for a new one."""

    kind: str
    title: str
    scheme: str
    noun: str
    credentials: Sequence[KeyRow]
    empty: str
    hint: str
    add_url: str
    form: Any
    help: str = ""

    @property
    def action(self) -> str:
        """The label of the form for a new one."""
        return f"Rotate {self.noun}" if self.credentials else f"Add {self.noun}"


_ONLY_CREDENTIAL = "It is the only one: requests will be rejected."


def key_sections(
    partner: Partner,
    inbound_keys: Sequence[InboundKey],
    inbound_secrets: Sequence[InboundSecret],
    signing_secrets: Sequence[dict[str, Any]],
    forms: Mapping[str, Any],
) -> list[KeySection]:
    """Return the three kinds of keys and secrets of a partner, with their forms."""
    only_inbound = _ONLY_CREDENTIAL if len(inbound_keys) + len(inbound_secrets) == 1 else ""
    last_secret = "Webhooks will no longer be signed." if len(signing_secrets) == 1 else ""

    def url(endpoint: str, **values: Any) -> str:
        return url_for(f"partners.{endpoint}", partner_id=partner.id, **values)

    return [
        KeySection(
            kind="inbound-key",
            title="Inbound API keys",
            scheme="X-Partner-Key",
            noun="key",
            credentials=[
                KeyRow(
                    f"Key ending in …{key.ends_in}" if key.ends_in else "Key",
                    key.created_at,
                    key.valid_until,
                    url("revoke_inbound_key", key_id=key.id),
                    only_inbound,
                )
                for key in inbound_keys
            ],
            empty="No keys. Requests with a key will be rejected.",
            hint="Leave blank to generate. Stored as a hash.",
            add_url=url("add_inbound_key"),
            form=forms["inbound-key"],
        ),
        KeySection(
            kind="inbound-secret",
            title="Inbound signing secrets",
            scheme="Standard Webhooks",
            noun="secret",
            credentials=[
                KeyRow(
                    f"Secret {ending_in(saved.secret)}",
                    saved.created_at,
                    saved.valid_until,
                    url("revoke_inbound_secret", secret_id=saved.id),
                    only_inbound,
                )
                for saved in inbound_secrets
            ],
            empty="No secrets. The partner's requests are not signed.",
            hint="Starts with whsec_. Leave blank to generate.",
            add_url=url("add_inbound_secret"),
            form=forms["inbound-secret"],
            help=(
                "More secure than a key: the secret is never sent, and each signature is valid for one "
                "message and five minutes. A request with a wrong signature is rejected even if its key is "
                "right. Revoke the keys above once the partner signs."
            ),
        ),
        KeySection(
            kind="signing-secret",
            title="Outbound signing secrets",
            scheme="Standard Webhooks",
            noun="secret",
            credentials=[
                KeyRow(
                    f"Secret {ending_in(saved['secret'])}",
                    datetime.fromisoformat(saved["created_at"]),
                    time_of(saved["valid_until"]),
                    url("revoke_signing_secret", secret_id=saved["id"]),
                    last_secret,
                )
                for saved in signing_secrets
            ],
            empty="No secrets. Webhooks are not signed.",
            hint="Starts with whsec_. Leave blank to generate.",
            add_url=url("add_signing_secret"),
            form=forms["signing-secret"],
            help=(
                "While several are active, each webhook carries a signature for each, "
                "so the partner can switch at any time."
            ),
        ),
    ]
