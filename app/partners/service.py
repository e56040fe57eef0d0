"""Adding, changing, pausing and resuming partners. Nothing here commits."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import inspect, update
from sqlalchemy.orm import Session

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import advisory_lock
from app.network.headers import SET_BY_CLIENT
from app.partners import keys, queries, texts
from app.partners.certificates import BadCertificate, read_authorities, read_pair
from app.partners.keys import BadPartner, raise_all
from app.partners.masking import named_secrets
from app.partners.models import Partner, PauseCode
from app.tasks import mail
from app.tasks.mail import Topic

CONCURRENCY_MAX = 64
RATE_MAX = 100_000
HEADERS_MAX = 20
REASON_MAX = 500
WIDEST_NETWORK = {4: 8, 6: 7}
"""By IP version, the shortest prefix of an allowed network: that of 10.0.0.0/8 and of fc00::/7."""
RESERVED_HEADERS = SET_BY_CLIENT | {
    "content-type",
    "idempotency-key",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
}
"""Headers that PO Confirm sets, so that a partner cannot have its own."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """Client credentials (RFC 6749, 4.4). ``in_body``: the secret is sent in the form instead of a header."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str = ""
    in_body: bool = False


@dataclass(frozen=True, slots=True)
class Details:
    """The settings of a partner. Durations are in seconds."""

    name: str
    base_url: str
    headers: Sequence[tuple[str, str]] = ()
    bearer_token: str = ""
    oauth: OAuth | None = None
    client_certificate: str = ""
    ca_bundle: str = ""
    allow_addresses: Sequence[str] = ()
    deadline_seconds: float = 15.0
    concurrency: int = 4
    rate_per_minute: int | None = None
    retry_schedule: Sequence[float] = ()
    success_codes: Sequence[int] = (0,)
    accepts_return: bool = False
    accepts_line_responses: bool = True
    signature_required: bool = False
    contact: str = ""
    # Confirms that secrets may be sent unencrypted; not stored.
    allow_plain_http: bool = False


def add(
    session: Session,
    name: str,
    *,
    base_url: str,
    inbound_key: str | None = None,
    **details: Any,
) -> tuple[Partner, str]:
    """Add a partner; return it and its inbound key, of which only a digest is stored.

    ``details`` are the other fields of ``Details``. Errors: BadPartner.
    """
    partner = save(session, None, Details(name=name, base_url=base_url, **details))
    return partner, keys.add_key(session, partner, inbound_key)


def candidate(partner: Partner | None) -> Partner:
    """A copy of the partner outside the session, to test changes before they are saved."""
    copy = Partner(created_at=clock.now(), signing_secrets=[], headers=[], allow_addresses=[])
    if partner is not None:
        for column in inspect(Partner).column_attrs:
            setattr(copy, column.key, getattr(partner, column.key))
    return copy


def save(session: Session, saved: Partner | None, details: Details) -> Partner:
    """Add a partner, or change one that was loaded for update. Errors: BadPartner."""
    partner = saved or Partner(created_at=clock.now())
    before = audit_fields(partner) if saved else {}
    hidden = _hidden_settings(partner)
    advisory_lock(session, "partners")  # two partners must not get the same name at once
    apply(session, partner, details)
    session.add(partner)
    session.flush()
    now = audit_fields(partner)
    # The entry of a new partner leaves out empty settings.
    now = now if saved else {name: value for name, value in now.items() if value}
    old, new = trail.differences(before, now)
    for name, value in _hidden_settings(partner).items():
        if value != hidden[name]:
            new[name] = trail.CHANGED
    action = AuditAction.PARTNER_CHANGED if saved else AuditAction.PARTNER_ADDED
    if new:
        _record(session, action, partner, before=old, after=new)
    return partner


def apply(session: Session, partner: Partner, details: Details) -> None:
    """Apply the settings to the partner.

    Errors: BadPartner, with the invalid field; the partner is then unchanged.
    """
    values = _checked(details)
    urls = _plain_http_urls(values) - _plain_http_urls(_connection(partner))
    if urls and not details.allow_plain_http:
        hosts = " and ".join(sorted(urls))
        raise BadPartner(
            f"secrets would be sent unencrypted to {hosts}: use https or confirm that this is intended",
            "allow_plain_http",
        )
    other = queries.partner_by_name(session, values["name"])
    if other is not None and other.id != partner.id:
        raise BadPartner(f"{values['name']} already exists", "name")
    for name, value in values.items():
        setattr(partner, name, value)
    partner.changed_at = clock.now()


def pause(session: Session, partner: Partner, reason: str, *, by: str = "") -> None:
    """Pause the partner: its webhooks wait. A second pause keeps the time and reason of the first."""
    paused = session.execute(
        update(Partner)
        .where(Partner.id == partner.id, Partner.paused_at.is_(None))
        .values(paused_at=clock.now(), paused_reason=reason[:REASON_MAX], paused_by=by)
        .returning(Partner.id)
    ).all()
    session.refresh(partner)
    if paused:
        _record(session, AuditAction.PAUSED, partner, by=by, reason=reason)


def resume(session: Session, partner: Partner, reason: str = "", *, by: str = "") -> None:
    """Resume the partner: webhooks that are due are sent again."""
    if partner.paused_at is not None:
        _record(
            session,
            AuditAction.RESUMED,
            partner,
            by=by,
            reason=reason,
            before={
                "paused since": partner.paused_at.isoformat(),
                "by": partner.paused_by or "PO Confirm",
                "reason": partner.paused_reason or partner.pause_code.value,
            },
        )
        if not partner.paused_by:  # a person who paused it needs no email
            url = mail.link(session, f"/partners/{partner.id}")
            mail.enqueue(session, Topic.RECOVERED, *texts.resumed_mail(partner.name, reason, by=by, url=url))
    partner.paused_at = None
    partner.paused_reason = ""
    partner.pause_code, partner.pause_params = PauseCode.NONE, {}
    partner.paused_by = ""
    partner.credential_failures = 0
    session.flush()


def announce(session: Session, partner: Partner, text: str, *, by: str) -> None:
    """Publish an announcement about the partner on every page; an empty text removes it."""
    text = text.strip()[:REASON_MAX]
    if text == partner.announcement:
        return
    _record(
        session,
        AuditAction.ANNOUNCED,
        partner,
        by=by,
        before={"note": partner.announcement},
        after={"note": text},
    )
    partner.announcement = text
    partner.announced_at = clock.now() if text else None
    partner.announced_by = by if text else ""
    session.flush()


def _record(session: Session, action: AuditAction, partner: Partner, **details: Any) -> None:
    trail.record(session, action, AuditObject.PARTNER, partner.id, name=partner.name, **details)


def audit_fields(partner: Partner) -> dict[str, Any]:
    """The settings that the audit trail records: everything but secrets."""
    oauth = partner.oauth or {}
    return {
        "name": partner.name,
        "base URL": partner.base_url,
        "allowed addresses": partner.allow_addresses,
        "timeout in seconds": partner.deadline_seconds,
        "concurrency": partner.concurrency,
        "rate per minute": partner.rate_per_minute,
        "retry schedule": partner.retry_schedule,
        "success codes": partner.success_codes,
        "accepts return": partner.accepts_return,
        "line responses": partner.accepts_line_responses,
        "signature required": partner.signature_required,
        "contact": partner.contact,
        "headers": [name for name, _ in partner.headers],
        "OAuth": {name: oauth[name] for name in ("token_url", "client_id", "scope", "in_body")}
        if oauth
        else None,
        "bearer token": bool(partner.bearer_token),
        "client certificate": bool(partner.client_certificate),
        "trusted CA certificates": bool(partner.ca_bundle),
    }


def _hidden_settings(partner: Partner) -> dict[str, Any]:
    """The settings of which the audit trail records only that they changed."""
    return {**named_secrets(partner), "trusted CA certificates": partner.ca_bundle or ""}


def _checked(details: Details) -> dict[str, Any]:
    """The settings as they are stored. Errors: BadPartner, with the errors of all parts."""
    values = asdict(details)
    del values["allow_plain_http"]
    errors: list[BadPartner] = []
    for part in (_identity, _addresses, _credentials, _limits):
        try:
            values |= part(details)
        except BadPartner as error:
            errors.append(error)
    raise_all(errors)
    return values


def _identity(details: Details) -> dict[str, Any]:
    name = details.name.strip()
    if not 1 <= len(name) <= 80:
        raise BadPartner("enter a name of 1 to 80 characters", "name")
    if len(details.contact) > 500:
        raise BadPartner("enter a contact of at most 500 characters", "contact")
    return {"name": name, "contact": details.contact.strip()}


def _addresses(details: Details) -> dict[str, Any]:
    return {
        "base_url": _url(details.base_url.strip(), "base_url", "a base URL").rstrip("/"),
        "allow_addresses": list(dict.fromkeys(_network(cidr) for cidr in details.allow_addresses)),
    }


def _limits(details: Details) -> dict[str, Any]:
    waits, codes, rate = details.retry_schedule, details.success_codes, details.rate_per_minute
    if not 0.1 <= details.deadline_seconds <= 300:
        raise BadPartner("enter a timeout from 0.1 to 300 seconds", "deadline_seconds")
    if not 1 <= details.concurrency <= CONCURRENCY_MAX:
        raise BadPartner(f"enter a concurrency from 1 to {CONCURRENCY_MAX}", "concurrency")
    if rate is not None and not 1 <= rate <= RATE_MAX:
        raise BadPartner(f"enter a rate limit from 1 to {RATE_MAX} webhooks per minute", "rate_per_minute")
    if len(waits) > 50 or any(not (math.isfinite(wait) and 0 <= wait <= 30 * 86_400) for wait in waits):
        raise BadPartner("enter up to 50 durations from 0 s to 30 days", "retry_schedule")
    if len(codes) > 20 or any(not -(10**9) <= code <= 10**9 for code in codes):
        raise BadPartner("enter up to 20 success codes, each a whole number", "success_codes")
    # 0 always means success in the contract.
    return {"retry_schedule": list(waits), "success_codes": sorted({0, *codes})}


def _credentials(details: Details) -> dict[str, Any]:
    if len(details.headers) > HEADERS_MAX:
        raise BadPartner(f"enter at most {HEADERS_MAX} headers", "headers")
    headers = [_header(*header) for header in details.headers]
    names = [name.lower() for name, _ in headers]
    if len(set(names)) < len(names):
        raise BadPartner("enter each header only once", "headers")
    methods = [
        label
        for label, used in (
            ("a bearer token", details.bearer_token),
            ("OAuth", details.oauth),
            ("a header Authorization", "authorization" in names),
        )
        if used
    ]
    if len(methods) > 1:
        raise BadPartner(
            f"{' and '.join(methods)} can't be combined: both set Authorization", "authorization"
        )
    return {
        "headers": [list(header) for header in headers],
        "bearer_token": _token(details.bearer_token),
        "oauth": _oauth(details.oauth) if details.oauth else None,
        "client_certificate": _pem(details.client_certificate, "client_certificate"),
        "ca_bundle": _pem(details.ca_bundle, "ca_bundle"),
    }


def _plain_http_urls(values: Mapping[str, Any]) -> set[str]:
    """The URLs to which these settings send a secret unencrypted. Loopback is not a network."""
    urls = set()
    oauth = values["oauth"]
    if values["headers"] or values["bearer_token"] or oauth:
        urls.add(values["base_url"])
    if oauth:
        urls.add(oauth["token_url"])
    return {
        url
        for url in urls
        if urlsplit(url).scheme == "http" and not _is_loopback(urlsplit(url).hostname or "")
    }


def _connection(partner: Partner) -> dict[str, Any]:
    return {
        "base_url": partner.base_url or "",
        "headers": partner.headers,
        "bearer_token": partner.bearer_token,
        "oauth": partner.oauth,
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pem(text: str, field: str) -> str:
    text = text.strip().replace("\r\n", "\n")
    if not text:
        return ""
    try:
        if field == "client_certificate":
            read_pair(text)
        else:
            read_authorities(text)
    except BadCertificate as error:
        raise BadPartner(str(error), field) from error
    return text + "\n"


def _oauth(oauth: OAuth) -> dict[str, Any]:
    oauth = OAuth(
        token_url=_url(oauth.token_url.strip(), "oauth_token_url", "a token URL", query=True),
        client_id=oauth.client_id.strip(),
        client_secret=oauth.client_secret.strip(),
        scope=oauth.scope.strip(),
        in_body=oauth.in_body,
    )
    if not 1 <= len(oauth.client_id) <= 500 or not oauth.client_id.isprintable():
        raise BadPartner("enter a client ID of at most 500 characters", "oauth_client_id")
    if not 1 <= len(oauth.client_secret) <= 2000 or not oauth.client_secret.isprintable():
        raise BadPartner("enter a client secret of at most 2000 characters", "oauth_client_secret")
    if len(oauth.scope) > 500 or not oauth.scope.isprintable():
        raise BadPartner("enter a scope of at most 500 characters", "oauth_scope")
    return asdict(oauth)


def _url(url: str, field: str, label: str, *, query: bool = False) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if (
        not usable
        or parts.username is not None
        or parts.fragment
        or (parts.query and not query)
        or len(url) > 500
        or re.search(r"[\x00-\x20\x7f\\%]", parts.netloc)
        or any(letter <= " " for letter in url)
    ):
        raise BadPartner(
            f"enter {label} with http:// or https://, a host, and optionally a port and a path", field
        )
    return url


def _token(token: str) -> str:
    token = token.strip()
    if token and not re.fullmatch(r"[\x21-\x7e]{1,4000}", token):
        raise BadPartner(
            "enter a bearer token of at most 4000 printable characters, without spaces", "bearer_token"
        )
    return token


def _header(name: str, value: str) -> tuple[str, str]:
    name, value = name.strip(), value.strip()
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name):
        raise BadPartner(f"enter a valid header name, not “{name[:40]}”", "headers")
    if not value:
        raise BadPartner(f"enter a value for the header {name}", "headers", header=name)
    if not value.isascii() or not value.isprintable() or len(value) > 4000:
        why = "has characters that cannot be sent, such as a line break or an accent"
        raise BadPartner(f"the value of the header {name} {why}", "headers", header=name)
    if name.lower() in RESERVED_HEADERS:
        raise BadPartner(f"the header {name} is set by PO Confirm", "headers")
    return name, value


def _network(cidr: str) -> str:
    quoted = cidr.strip() if len(cidr) <= 40 else cidr.strip()[:39] + "…"
    try:
        network = ipaddress.ip_network(cidr.strip(), strict=False)
    except ValueError as error:
        raise BadPartner(
            f"enter address ranges such as 10.1.0.0/16, not “{quoted}”", "allow_addresses"
        ) from error
    if network.prefixlen < WIDEST_NETWORK[network.version]:
        raise BadPartner(
            f"enter a smaller range: “{quoted}” is wider than any private network",
            "allow_addresses",
        )
    return str(network)
