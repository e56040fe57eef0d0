"""The keys and secrets of a partner, as its keys page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for

from app.network.paths import KEY_HEADER
from app.partners.masking import last_characters
from app.partners.models import InboundKey, InboundSecret, Partner
from app.partners.presenters import time_of


def ending_in(secret: str) -> str:
    """The last characters, by which users tell secrets apart."""
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
class KeyTexts:
    """What the page says about one kind of key or secret."""

    title: str
    scheme: str
    noun: str
    empty: str
    hint: str
    help: str = ""


KEY_TEXTS = {
    "inbound-key": KeyTexts(
        title="Inbound API keys",
        scheme=KEY_HEADER,
        noun="key",
        empty="No keys. Requests with a key will be rejected.",
        hint="Leave blank to generate. Stored as a hash.",
    ),
    "inbound-secret": KeyTexts(
        title="Inbound signing secrets",
        scheme="Standard Webhooks",
        noun="secret",
        empty="No secrets. The partner's requests are not signed.",
        hint="Starts with whsec_. Leave blank to generate.",
        help=(
            "More secure than a key: the secret is never sent, and each signature is valid for one "
            "message and five minutes. A request with a wrong signature is rejected even if its key is "
            "right. Revoke the keys above once the partner signs."
        ),
    ),
    "signing-secret": KeyTexts(
        title="Outbound signing secrets",
        scheme="Standard Webhooks",
        noun="secret",
        empty="No secrets. Webhooks are not signed.",
        hint="Starts with whsec_. Leave blank to generate.",
        help=(
            "While several are active, each webhook carries a signature for each, "
            "so the partner can switch at any time."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class KeySection:
    """One kind of key or secret: those that are active, and the form for a new one."""

    kind: str
    texts: KeyTexts
    credentials: Sequence[KeyRow]
    add_url: str
    form: Any

    @property
    def action(self) -> str:
        """The label of the form for a new one."""
        return f"Rotate {self.texts.noun}" if self.credentials else f"Add {self.texts.noun}"


def key_sections(
    partner: Partner,
    inbound_keys: Sequence[InboundKey],
    inbound_secrets: Sequence[InboundSecret],
    signing_secrets: Sequence[dict[str, Any]],
    forms: Mapping[str, Any],
) -> list[KeySection]:
    """The three kinds of keys and secrets of a partner, with their forms."""
    is_only = len(inbound_keys) + len(inbound_secrets) == 1
    only_inbound = "It is the only one: requests will be rejected." if is_only else ""
    last_secret = "Webhooks will no longer be signed." if len(signing_secrets) == 1 else ""

    def url(endpoint: str, **values: Any) -> str:
        return url_for(f"partners.{endpoint}", partner_id=partner.id, **values)

    def inbound_row(kind: str, label: str, saved: InboundKey | InboundSecret) -> KeyRow:
        revoke_url = url("revoke_inbound", kind=kind, key_id=saved.id)
        return KeyRow(label, saved.created_at, saved.valid_until, revoke_url, only_inbound)

    rows = {
        "inbound-key": [
            inbound_row("inbound-key", f"Key ending in …{key.ends_in}" if key.ends_in else "Key", key)
            for key in inbound_keys
        ],
        "inbound-secret": [
            inbound_row("inbound-secret", f"Secret {ending_in(saved.secret)}", saved)
            for saved in inbound_secrets
        ],
        "signing-secret": [
            KeyRow(
                f"Secret {ending_in(saved['secret'])}",
                datetime.fromisoformat(saved["created_at"]),
                time_of(saved["valid_until"]),
                url("revoke_signing_secret", secret_id=saved["id"]),
                last_secret,
            )
            for saved in signing_secrets
        ],
    }
    return [
        KeySection(kind, texts, rows[kind], url("add_key", kind=kind), forms[kind])
        for kind, texts in KEY_TEXTS.items()
    ]
