"""POSTs to a fake partner, and what their outcomes are compared with."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any

from app.delivery.call_result import CallResult, Detail, Failure
from app.delivery.http_client import Sender, Target
from app.delivery.presenters import detail_sentence
from tests.delivery.misbehaving import OK, FakePartner, Script

LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = '{"poConfirmation":{"supplierRemarks":"₹ 5"}}'.encode()
IDS = {"Idempotency-Key": "msg_01"}
LARGE = b"x" * 32 * 1024 * 1024
SHORT = 0.5
BOUND = 5.0
"""Seconds within which a call with the short deadline must end, however busy the machine is."""


def target_of(
    partner: FakePartner, deadline: float = 10.0, host: str = "127.0.0.1", path: str = "/hook"
) -> Target:
    """The fake partner as a target; loopback addresses are allowed."""
    return Target(partner.url(path, host), (), LOOPBACK, deadline)


@dataclass(frozen=True)
class Transport:
    """How a partner is reached: in clear text or over TLS."""

    tls: ssl.SSLContext | None
    bundle: str

    def partner(self, *scripts: Script, host: str = "127.0.0.1") -> FakePartner:
        """A partner that is reached in this way."""
        return FakePartner(*scripts, tls=self.tls, host=host)

    def target(self, partner: FakePartner, *args: Any, **options: Any) -> Target:
        """The partner as a target that trusts its certificate."""
        return replace(target_of(partner, *args, **options), ca_bundle=self.bundle)


def send(sender: Sender, target: Target, body: bytes = BODY) -> CallResult:
    """POST, and assert that the call ends in time."""
    started = time.monotonic()
    result = sender.post(target, body, IDS)
    assert time.monotonic() - started < (BOUND if target.deadline <= SHORT else target.deadline + 5)
    return result


def send_once(target: Target) -> CallResult:
    """POST on a connection of its own."""
    with Sender() as sender:
        return sender.post(target, BODY, IDS)


def assert_complete(result: CallResult, body: bytes = OK) -> None:
    """Assert that the whole response was received, with this body."""
    assert (result.failure, result.detail, result.status) == (None, Detail(), 200)
    assert (result.body, result.body_size) == (body, len(body))
    assert (result.truncated, result.sent) == (False, True)


def assert_late(result: CallResult, *, sent: bool = True) -> None:
    """Assert that the short deadline ended the call."""
    assert (result.failure, result.sent) == (Failure.TIMEOUT, sent)
    assert detail_sentence(result.detail).endswith(("within 0.5 s.", "after 0.5 s."))


def assert_malformed(result: CallResult) -> None:
    """Assert that the response was malformed."""
    assert (result.failure, result.sent) == (Failure.MALFORMED_RESPONSE, True), result
    assert detail_sentence(result.detail).startswith("The partner's HTTP response is malformed")


class NameServer:
    """Replaces getaddrinfo: each lookup of a name returns its next result, and then always the last."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.queries: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        self.queries.append(host)
        self.before()
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]
