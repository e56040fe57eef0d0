"""“Is it us or them”: each step of the way to a partner, a sentence for each, beside how it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app import clock
from app.delivery.claiming import PATH
from app.delivery.credentials import credentials_of
from app.delivery.models import Attempt
from app.network.signing import TOLERANCE_SECONDS
from app.partners.certificates import BadCertificate, Certificate, read_pair
from app.partners.models import Partner
from app.webhooks.partner_status import clock_difference
from app.webhooks.probe import Tls, Way, way_to
from app.webhooks.test_send import Trial, try_out

CLOCK_FINE_SECONDS = 5.0
"""A difference that a slow answer and whole seconds explain."""
EXPIRY_NEAR = timedelta(days=14)


class Side(StrEnum):
    """Whose it is."""

    NOBODY = ""
    US = "us"
    THEM = "them"
    EITHER = "us or them"
    BETWEEN = "between us and them"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step. ``tone`` is ok, warn, bad or quiet (not reached); ``before`` is how it was, if known."""

    step: str
    tone: str
    words: str
    side: Side = Side.NOBODY
    before: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All steps, what they come to, and the facts to keep where all is well."""

    findings: list[Finding]
    trial: Trial | None
    facts: dict[str, Any]
    at: datetime

    @property
    def worst(self) -> Finding | None:
        """The first step that is wrong, else the first that wants a look."""
        for tone in ("bad", "warn"):
            for finding in self.findings:
                if finding.tone == tone:
                    return finding
        return None

    @property
    def well(self) -> bool:
        """Whether an answer would arrive."""
        return all(finding.tone in ("ok", "warn") for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Before:
    """The last good exchange, as far as it is known."""

    at: datetime | None = None
    addresses: tuple[str, ...] = ()
    certificate_sha256: str = ""
    certificate_expires: str = ""
    clock: float | None = None
    status: int | None = None


def before_of(facts: dict[str, Any] | None, delivered: Attempt | None) -> Before:
    """What is known of the last good exchange: of the last good check, or of a newer delivery."""
    facts = facts or {}
    known = Before(
        at=datetime.fromisoformat(facts["at"]) if facts else None,
        addresses=tuple(facts.get("addresses", ())),
        certificate_sha256=facts.get("certificate_sha256", ""),
        certificate_expires=facts.get("certificate_expires", ""),
        clock=facts.get("clock"),
        status=facts.get("status"),
    )
    if delivered is None or delivered.ended_at is None or (known.at and known.at >= delivered.ended_at):
        return known
    address = (delivered.remote_address or "").rpartition(":")[0].strip("[]")
    return Before(
        at=delivered.ended_at,
        addresses=(address,) if address else known.addresses,
        certificate_sha256=known.certificate_sha256,
        certificate_expires=known.certificate_expires,
        clock=clock_difference(delivered.response_headers, delivered.ended_at),
        status=delivered.status,
    )


def examine(partner: Partner, before: Before) -> Report:
    """Go the way to the partner step by step and send the sample at its end. Let no transaction be open."""
    at = clock.now()
    target = credentials_of(partner, PATH + "req-confirm", at).target
    way = way_to(target.url, target.allowed, Tls(target.client_certificate, target.ca_bundle))
    arrives = way.connected is not None and not way.tls_error
    trial = try_out(partner) if arrives else None
    difference = None
    if trial is not None and trial.outcome.status is not None:
        difference = clock_difference(trial.outcome.headers, clock.now())
    findings = [
        _name(way, before),
        _vetting(way, partner),
        _connection(way, before),
        *([_tls(way, before, at)] if way.secure else [_plain()]),
        *([_own_certificate(partner.client_certificate, at)] if partner.client_certificate else []),
        _clock(trial, difference, before),
        _key(trial, before),
    ]
    return Report(findings, trial, _facts(way, trial, difference, at), at)


def _name(way: Way, before: Before) -> Finding:
    if way.name_error:
        told = f"The name {way.host} could not be looked up: {way.name_error}."
        if before.at:
            told += " It could be before: ask them, and whoever runs our name servers."
            return Finding("Name", "bad", told, Side.BETWEEN, _was(before.addresses))
        return Finding("Name", "bad", f"{told} Look for a typing error in the address.", Side.US)
    if way.addresses == (way.host,):
        return Finding("Name", "ok", f"{way.host} is an address already.")
    listed = ", ".join(way.addresses[:4])
    if before.addresses and not set(before.addresses) & set(way.addresses):
        told = f"{way.host} leads to {listed}, which is somewhere else than at the last good exchange."
        return Finding("Name", "warn", told, Side.THEM, _was(before.addresses))
    return Finding("Name", "ok", f"{way.host} leads to {listed}.", before=_was(before.addresses))


def _vetting(way: Way, partner: Partner) -> Finding:
    step = "Address allowed"
    if not way.addresses:
        return _unreached(step)
    listed = ", ".join(partner.allow_addresses) or "nothing"
    if not way.allowed:
        told = (
            f"{', '.join(way.refused[:4])} may not be connected to: it is private or reserved, and the list "
            f"of allowed addresses names {listed}."
        )
        return Finding(step, "bad", told, Side.US)
    if way.refused:
        told = f"{', '.join(way.refused[:4])} is left out, {', '.join(way.allowed[:4])} may be connected to."
        return Finding(step, "warn", told, Side.THEM)
    return Finding(step, "ok", f"{', '.join(way.allowed[:4])} may be connected to.")


def _connection(way: Way, before: Before) -> Finding:
    step = "Connection"
    if not way.allowed:
        return _unreached(step)
    if way.connected is None:
        told = f"No connection to port {way.port}: {way.connect_error}."
        side = Side.THEM if "refused" in way.connect_error else Side.BETWEEN
        told += (
            " Nothing listens there just now."
            if side is Side.THEM
            else " A firewall may hold it back, on our side or theirs."
        )
        return Finding(step, "bad", told, side, _was(before.addresses))
    slow = (way.connect_ms or 0) > 2000
    told = (
        f"{way.connected} took the connection on port {way.port} within {max(1, way.connect_ms or 0):.0f} ms."
    )
    return Finding(step, "warn" if slow else "ok", told, Side.BETWEEN if slow else Side.NOBODY)


def _plain() -> Finding:
    told = (
        "The address begins with http://: what is sent can be read on the way. Fine inside one network only."
    )
    return Finding("Secure connection", "warn", told, Side.US)


def _tls(way: Way, before: Before, now: datetime) -> Finding:
    step = "Secure connection"
    if way.connected is None:
        return _unreached(step)
    was = f"Then it ran until {before.certificate_expires[:10]}." if before.certificate_expires else ""
    certificate = way.certificate
    if way.tls_error:
        told = f"No secure connection: {way.tls_error}.{_described(certificate)}"
        return Finding(step, "bad", told, _whose(way, certificate, now), was)
    if certificate is None:
        return Finding(step, "ok", f"{way.tls_version}.", before=was)
    left = certificate.expires_at - now
    names = ", ".join(certificate.names[:3])
    told = f"{way.tls_version}, with a certificate for {names}, good for {left.days} days."
    if left < EXPIRY_NEAR:
        return Finding(step, "warn", f"{told} They should renew it soon.", Side.THEM, was)
    if before.certificate_sha256 and before.certificate_sha256 != certificate.sha256:
        told += " It is another one than at the last good check."
    return Finding(step, "ok", told, before=was)


def _whose(way: Way, certificate: Certificate | None, now: datetime) -> Side:
    if "kept here" in way.tls_error:
        return Side.US
    if certificate is not None and certificate.expires_at < now:
        return Side.THEM
    if "issuer" in way.tls_error or "self" in way.tls_error:
        return Side.EITHER
    return Side.THEM


def _described(certificate: Certificate | None) -> str:
    if certificate is None:
        return ""
    names = ", ".join(certificate.names[:3]) or certificate.subject
    return (
        f" Their certificate is for {names}, by {certificate.issuer or 'nobody'}, "
        f"until {certificate.expires_at:%Y-%m-%d}."
    )


def _own_certificate(pem: str, now: datetime) -> Finding:
    step = "Our certificate"
    try:
        ours = read_pair(pem)
    except BadCertificate as error:
        return Finding(step, "bad", f"It cannot be used: {error}.", Side.US)
    left = ours.expires_at - now
    if left < timedelta(0):
        return Finding(step, "bad", f"It ended on {ours.expires_at:%Y-%m-%d}. Ask for a new one.", Side.US)
    told = f"It is good for {left.days} days, until {ours.expires_at:%Y-%m-%d}."
    return Finding(
        step, "warn" if left < EXPIRY_NEAR else "ok", told, Side.US if left < EXPIRY_NEAR else Side.NOBODY
    )


def _clock(trial: Trial | None, difference: float | None, before: Before) -> Finding:
    step = "Clocks"
    was = ""
    if before.clock is not None:
        agreed = abs(before.clock) <= CLOCK_FINE_SECONDS
        was = "Then they agreed." if agreed else f"Then they differed by {abs(before.clock):.0f} s."
    if trial is None or trial.outcome.status is None:
        return _unreached(step)
    if difference is None:
        return Finding(step, "ok", "The partner sends no time, so there is nothing to compare.", before=was)
    if abs(difference) <= CLOCK_FINE_SECONDS:
        return Finding(step, "ok", "Their clock and ours agree.", before=was)
    ahead = "ahead of" if difference > 0 else "behind"
    told = f"Their clock is {abs(difference):.0f} s {ahead} ours."
    if abs(difference) > TOLERANCE_SECONDS:
        told += " One of them is wrong; signatures are good for five minutes only, so they would be refused."
        return Finding(step, "bad", told, Side.EITHER, was)
    return Finding(step, "warn", f"{told} That does no harm yet.", Side.EITHER, was)


def _key(trial: Trial | None, before: Before) -> Finding:
    step = "Key and answer"
    was = f"Then it answered {before.status}." if before.status else ""
    if trial is None:
        return _unreached(step)
    judged = trial.judged
    told = f"{judged.title} {judged.words}"
    if judged.works:
        return Finding(step, judged.tone, told, Side.THEM if judged.tone == "warn" else Side.NOBODY, was)
    status = trial.outcome.status
    if trial.token and status is None and trial.token.startswith("No token"):
        return Finding(step, "bad", told, Side.EITHER, was)
    if status in (401, 403):
        side = Side.THEM if before.at else Side.US
        told += (
            " The same key was accepted before: ask whether they changed theirs."
            if before.at
            else " Compare the key with the one that they gave you."
        )
        return Finding(step, "bad", told, Side.EITHER if before.at else side, was)
    if status in (404, 405):
        return Finding(step, "bad", f"{told} Compare the address with theirs.", Side.EITHER, was)
    return Finding(step, "bad", told, Side.THEM, was)


def _unreached(step: str) -> Finding:
    return Finding(step, "quiet", "Not reached: a step before it failed.")


def _was(addresses: Sequence[str]) -> str:
    return f"Then it was {', '.join(addresses[:4])}." if addresses else ""


def _facts(way: Way, trial: Trial | None, difference: float | None, at: datetime) -> dict[str, Any]:
    certificate = way.certificate
    return {
        "at": at.isoformat(),
        "addresses": list(way.addresses),
        "certificate_sha256": certificate.sha256 if certificate else "",
        "certificate_expires": certificate.expires_at.isoformat() if certificate else "",
        "clock": difference,
        "status": trial.outcome.status if trial else None,
    }
