"""Checks every step of the connection to a partner and compares it with the last successful delivery.

The result is codes and parameters; the partners' presenters turn them into sentences.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from app import clock
from app.delivery.address_policy import may_connect, plain_address
from app.delivery.call_result import Detail, DetailCode, Failure, SendAborted
from app.delivery.connections import CheckedConnection, SecureConnection, tls_context
from app.delivery.credentials import credentials_of
from app.delivery.deadline import Call, watchdog
from app.delivery.http_client import Target
from app.delivery.models import Attempt
from app.delivery.resolver import resolve
from app.network.paths import API_PATH
from app.network.signing import TOLERANCE_SECONDS
from app.network.vocabulary import Kind
from app.partners.certificates import BadCertificate, Certificate, read_der, read_pair
from app.partners.models import Partner
from app.webhooks.partner_status import clock_difference
from app.webhooks.sample_send import SampleResult, SampleSend, send_sample

LOOKUP_SECONDS = 5.0
CONNECT_SECONDS = 10.0
"""Seconds for connecting and the TLS handshake together."""
SLOW_CONNECT_MS = 2000
CLOCK_TOLERANCE_SECONDS = 5.0
"""A difference that a slow response and whole seconds explain."""
EXPIRES_SOON = timedelta(days=14)


class Step(StrEnum):
    """The steps, in their order."""

    DNS = "dns"
    ADDRESS = "address"
    CONNECTION = "connection"
    TLS = "tls"
    CLIENT_CERTIFICATE = "client_certificate"
    CLOCK = "clock"
    RESPONSE = "response"


class Level(StrEnum):
    """How a step went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Side(StrEnum):
    """Where the problem is."""

    NONE = "none"
    OURS = "ours"
    THEIRS = "theirs"
    EITHER = "either"
    NETWORK = "network"


class Code(StrEnum):
    """What a step found. The names of its parameters are in the presenters."""

    SKIPPED = "skipped"
    LOOKUP_FAILED = "lookup_failed"
    ADDRESS_LITERAL = "address_literal"
    RESOLVED = "resolved"
    RESOLVED_ELSEWHERE = "resolved_elsewhere"
    ADDRESSES_REFUSED = "addresses_refused"
    SOME_ADDRESSES_REFUSED = "some_addresses_refused"
    ADDRESSES_ALLOWED = "addresses_allowed"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_FAILED = "connection_failed"
    CONNECTED = "connected"
    NOT_ENCRYPTED = "not_encrypted"
    TLS_FAILED = "tls_failed"
    TLS_ESTABLISHED = "tls_established"
    TLS_EXPIRES_SOON = "tls_expires_soon"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_VALID = "certificate_valid"
    NO_CLOCK = "no_clock"
    CLOCKS_AGREE = "clocks_agree"
    CLOCKS_DIFFER = "clocks_differ"
    CLOCKS_WRONG = "clocks_wrong"
    TEST_SEND = "test_send"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one step: a code with its parameters, and whose side a problem is on."""

    step: Step
    level: Level
    code: Code
    side: Side = Side.NONE
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last successful delivery or check, as far as it is known."""

    at: datetime | None = None
    addresses: Sequence[str] = ()
    certificate_sha256: str = ""
    certificate_expires: str = ""
    clock: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of all steps, and the facts to store as the next baseline."""

    findings: list[Finding]
    sample_send: SampleSend | None
    facts: dict[str, Any]
    at: datetime
    baseline: Baseline

    @property
    def worst(self) -> Finding | None:
        """The first step that failed, else the first with a warning."""
        for level in (Level.FAILED, Level.WARNING):
            for finding in self.findings:
                if finding.level is level:
                    return finding
        return None

    @property
    def works(self) -> bool:
        """Whether a webhook would be delivered."""
        return all(finding.level in (Level.OK, Level.WARNING) for finding in self.findings)


@dataclass(slots=True)
class Route:
    """How far a connection to the partner got."""

    host: str
    port: int
    secure: bool
    addresses: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    lookup_error: Detail | None = None
    connected: str = ""
    connect_ms: float = 0.0
    error: SendAborted | None = None
    tls_version: str = ""
    certificate: Certificate | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The addresses that may be connected to."""
        return tuple(address for address in self.addresses if address not in self.refused)


def baseline_of(facts: dict[str, Any] | None, delivered: Attempt | None) -> Baseline:
    """What is known of the last successful check, or of a newer delivery."""
    checked = Baseline(**{**facts, "at": datetime.fromisoformat(facts["at"])}) if facts else Baseline()
    if delivered is None or delivered.ended_at is None or (checked.at and checked.at >= delivered.ended_at):
        return checked
    address = (delivered.remote_address or "").rpartition(":")[0].strip("[]")
    return replace(
        checked,
        at=delivered.ended_at,
        addresses=(address,) if address else checked.addresses,
        clock=clock_difference(delivered.response_headers, delivered.ended_at),
        status=delivered.status,
    )


def diagnose(partner: Partner, baseline: Baseline) -> Report:
    """Check each step and end with a test send. It takes up to 40 s: let no transaction be open."""
    at = clock.now()
    target = credentials_of(partner, API_PATH + Kind.REQ_CONFIRM, at).target
    route = connect(target)
    sample_send = send_sample(partner) if route.connected and route.error is None else None
    difference = None
    if sample_send is not None and sample_send.call_result.status is not None:
        difference = clock_difference(sample_send.call_result.headers, clock.now())
    findings = [
        _check_name(route, baseline),
        _check_address(route, partner),
        _check_connection(route),
        _check_tls(route, baseline, at),
        *([_check_client_certificate(partner.client_certificate, at)] if partner.client_certificate else []),
        _check_clock(sample_send, difference),
        _check_response(sample_send, baseline),
    ]
    return Report(findings, sample_send, _facts(route, sample_send, difference, at), at, baseline)


def connect(target: Target) -> Route:
    """Connect to the target, as a webhook would, without sending a request. Never raises."""
    parts = urlsplit(target.url)
    secure = parts.scheme == "https"
    route = Route(parts.hostname or "", parts.port or (443 if secure else 80), secure)
    try:
        addresses = resolve(route.host, route.port, LOOKUP_SECONDS)
    except SendAborted as error:
        route.lookup_error = error.detail
        if error.failure is Failure.TIMEOUT:
            route.lookup_error = Detail.of(DetailCode.NAME_TIMEOUT, host=route.host, seconds=LOOKUP_SECONDS)
        return route
    route.addresses = tuple(dict.fromkeys(address.ip for address in addresses))
    route.refused = tuple(ip for ip in route.addresses if not may_connect(ip, target.allowed))
    if not route.allowed:
        return route
    try:
        context = None
        if secure:
            context = tls_context(target.ca_bundle, target.client_certificate)
        with _connected(target, route, context) as connection:
            if secure:
                route.tls_version = _tls_socket(connection).version() or ""
                route.certificate = _certificate(connection)
    except SendAborted as error:
        route.error = error
        if secure and route.connected:
            route.certificate = _unverified_certificate(target, route)
    return route


@contextlib.contextmanager
def _connected(target: Target, route: Route, context: ssl.SSLContext | None) -> Iterator[CheckedConnection]:
    """Open the connection that a webhook would use. Errors: SendAborted."""
    if context is None:
        connection = CheckedConnection(route.host, route.port, allowed=target.allowed)
    else:
        connection = SecureConnection(route.host, route.port, allowed=target.allowed, ssl_context=context)
    call = connection.call = Call(CONNECT_SECONDS)
    started = time.perf_counter()
    watchdog.start(call)
    try:
        connection.connect()
        yield connection
    except SendAborted as error:
        if call.expired or error.failure is Failure.TIMEOUT:
            detail = call.timeout_detail()
            raise SendAborted(Failure.TIMEOUT, detail.code, **detail.params) from error
        raise
    finally:
        watchdog.stop(call)
        route.connected = route.connected or (call.remote_address or "").rpartition(":")[0].strip("[]")
        route.connect_ms = route.connect_ms or (time.perf_counter() - started) * 1000
        connection.close()


def _unverified_certificate(target: Target, route: Route) -> Certificate | None:
    """The certificate that was not accepted, without trusting it, to say what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(SendAborted),
        _connected(target, route, context) as connection,
    ):
        return _certificate(connection)
    return None


def _tls_socket(connection: CheckedConnection) -> ssl.SSLSocket:
    if not isinstance(connection.sock, ssl.SSLSocket):
        raise RuntimeError("the connection is not encrypted")
    return connection.sock


def _certificate(connection: CheckedConnection) -> Certificate | None:
    der = _tls_socket(connection).getpeercert(binary_form=True)
    try:
        return read_der(der) if der else None
    except BadCertificate:
        return None


def _check_name(route: Route, baseline: Baseline) -> Finding:
    if route.lookup_error:
        side = Side.NETWORK if baseline.at else Side.OURS
        details = {"error": route.lookup_error, "worked_before": baseline.at is not None}
        return Finding(Step.DNS, Level.FAILED, Code.LOOKUP_FAILED, side, details)
    if plain_address(route.host):
        return Finding(Step.DNS, Level.OK, Code.ADDRESS_LITERAL)
    details = {"host": route.host, "addresses": route.addresses}
    if baseline.addresses and not set(baseline.addresses) & set(route.addresses):
        return Finding(Step.DNS, Level.WARNING, Code.RESOLVED_ELSEWHERE, Side.THEIRS, details)
    return Finding(Step.DNS, Level.OK, Code.RESOLVED, details=details)


def _check_address(route: Route, partner: Partner) -> Finding:
    if not route.addresses:
        return _skipped(Step.ADDRESS)
    details = {
        "refused": route.refused,
        "allowed": route.allowed,
        "allow_list": tuple(partner.allow_addresses),
    }
    if not route.allowed:
        return Finding(Step.ADDRESS, Level.FAILED, Code.ADDRESSES_REFUSED, Side.OURS, details)
    if route.refused:
        return Finding(Step.ADDRESS, Level.WARNING, Code.SOME_ADDRESSES_REFUSED, Side.THEIRS, details)
    return Finding(Step.ADDRESS, Level.OK, Code.ADDRESSES_ALLOWED, details=details)


def _check_connection(route: Route) -> Finding:
    if not route.allowed or _is_local(route.error):
        return _skipped(Step.CONNECTION)
    if not route.connected:
        error = route.error.detail if route.error else Detail()
        refused = error.code is DetailCode.CONNECTION_REFUSED
        return Finding(
            Step.CONNECTION,
            Level.FAILED,
            Code.CONNECTION_REFUSED if refused else Code.CONNECTION_FAILED,
            Side.THEIRS if refused else Side.NETWORK,
            {"error": error},
        )
    slow = route.connect_ms > SLOW_CONNECT_MS
    return Finding(
        Step.CONNECTION,
        Level.WARNING if slow else Level.OK,
        Code.CONNECTED,
        Side.NETWORK if slow else Side.NONE,
        {"address": route.connected, "port": route.port, "ms": route.connect_ms},
    )


def _check_tls(route: Route, baseline: Baseline, now: datetime) -> Finding:
    if not route.secure:
        return Finding(Step.TLS, Level.WARNING, Code.NOT_ENCRYPTED, Side.OURS)
    if not route.connected and not _is_local(route.error):
        return _skipped(Step.TLS)
    certificate = route.certificate
    details: dict[str, Any] = {"certificate": certificate, "version": route.tls_version}
    if route.error is not None:
        details["error"] = route.error.detail
        return Finding(Step.TLS, Level.FAILED, Code.TLS_FAILED, _tls_side(route, now), details)
    if certificate is None:
        return Finding(Step.TLS, Level.OK, Code.TLS_ESTABLISHED, details=details)
    remaining = certificate.expires_at - now
    changed = bool(baseline.certificate_sha256) and baseline.certificate_sha256 != certificate.sha256
    details |= {"days": remaining.days, "changed": changed}
    if remaining < EXPIRES_SOON:
        return Finding(Step.TLS, Level.WARNING, Code.TLS_EXPIRES_SOON, Side.THEIRS, details)
    return Finding(Step.TLS, Level.OK, Code.TLS_ESTABLISHED, details=details)


def _is_local(error: SendAborted | None) -> bool:
    """Whether the error is that of this machine's own certificates."""
    return error is not None and error.failure is Failure.BAD_TARGET


def _tls_side(route: Route, now: datetime) -> Side:
    if _is_local(route.error):
        return Side.OURS
    if route.certificate is not None and route.certificate.expires_at < now:
        return Side.THEIRS
    cause = route.error.detail.params.get("cause", "") if route.error else ""
    return Side.EITHER if "issuer" in cause or "self" in cause else Side.THEIRS


def _check_client_certificate(pem: str, now: datetime) -> Finding:
    try:
        own_certificate = read_pair(pem)
    except BadCertificate as error:
        details: dict[str, Any] = {"error": str(error)}
        return Finding(Step.CLIENT_CERTIFICATE, Level.FAILED, Code.CERTIFICATE_UNUSABLE, Side.OURS, details)
    remaining = own_certificate.expires_at - now
    details = {"expires_at": own_certificate.expires_at, "days": remaining.days}
    if remaining < timedelta(0):
        return Finding(Step.CLIENT_CERTIFICATE, Level.FAILED, Code.CERTIFICATE_EXPIRED, Side.OURS, details)
    soon = remaining < EXPIRES_SOON
    level, side = (Level.WARNING, Side.OURS) if soon else (Level.OK, Side.NONE)
    return Finding(Step.CLIENT_CERTIFICATE, level, Code.CERTIFICATE_VALID, side, details)


def _check_clock(sample_send: SampleSend | None, difference: float | None) -> Finding:
    if sample_send is None or sample_send.call_result.status is None:
        return _skipped(Step.CLOCK)
    if difference is None:
        return Finding(Step.CLOCK, Level.OK, Code.NO_CLOCK)
    details = {"seconds": difference}
    if clocks_agree(difference):
        return Finding(Step.CLOCK, Level.OK, Code.CLOCKS_AGREE, details=details)
    if abs(difference) > TOLERANCE_SECONDS:
        return Finding(Step.CLOCK, Level.FAILED, Code.CLOCKS_WRONG, Side.EITHER, details)
    return Finding(Step.CLOCK, Level.WARNING, Code.CLOCKS_DIFFER, Side.EITHER, details)


def clocks_agree(difference: float) -> bool:
    """Whether a difference in seconds is explained by the time that a response takes."""
    return abs(difference) <= CLOCK_TOLERANCE_SECONDS


def _check_response(sample_send: SampleSend | None, baseline: Baseline) -> Finding:
    if sample_send is None:
        return _skipped(Step.RESPONSE)
    judgment = sample_send.judgment
    details = {"judgment": judgment, "worked_before": baseline.at is not None}
    if judgment.works and judgment.result is not SampleResult.BUSY:
        return Finding(Step.RESPONSE, Level.OK, Code.TEST_SEND, Side.NONE, details)
    return Finding(
        Step.RESPONSE, Level.FAILED, Code.TEST_SEND, _response_side(sample_send, baseline), details
    )


def _response_side(sample_send: SampleSend, baseline: Baseline) -> Side:
    status = sample_send.call_result.status
    if sample_send.token_failed:
        return Side.EITHER
    if status in (401, 403):
        return Side.EITHER if baseline.at else Side.OURS
    return Side.EITHER if status in (404, 405) else Side.THEIRS


def _skipped(step: Step) -> Finding:
    return Finding(step, Level.SKIPPED, Code.SKIPPED)


def _facts(
    route: Route, sample_send: SampleSend | None, difference: float | None, at: datetime
) -> dict[str, Any]:
    certificate = route.certificate
    return {
        "at": at.isoformat(),
        "addresses": list(route.addresses),
        "certificate_sha256": certificate.sha256 if certificate else "",
        "certificate_expires": certificate.expires_at.isoformat() if certificate else "",
        "clock": difference,
        "status": sample_send.call_result.status if sample_send else None,
    }
