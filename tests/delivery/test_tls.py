"""TLS: nothing is sent without a verified handshake."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import struct
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from urllib3.connection import HTTPSConnection

from app.delivery import connections
from app.delivery.call_result import CallResult, Failure
from app.delivery.http_client import Sender, Target
from app.delivery.presenters import detail_sentence
from app.delivery.resolver import Address
from tests.delivery.misbehaving import (
    Connection,
    FakePartner,
    Script,
    behaves,
    closes_at_once,
    never_reads,
    response,
    server_context,
)
from tests.delivery.posting import (
    BOUND,
    LOOPBACK,
    SHORT,
    NameServer,
    assert_complete,
    assert_late,
    send,
    target_of,
)


def https_target(partner: FakePartner, bundle: str, deadline: float = 10.0) -> Target:
    url = partner.url().replace("http:", "https:")
    return replace(target_of(partner, deadline), url=url, ca_bundle=bundle)


def assert_not_secure(result: CallResult, words: str) -> None:
    assert (result.failure, result.sent, result.status) == (Failure.TLS, False, None)
    assert words in detail_sentence(result.detail).lower()


def test_tls_verifies_the_name_and_connects_to_the_checked_address(
    sender: Sender, authority: trustme.CA, bundle: str, names: NameServer
) -> None:
    server_names: list[str | None] = []
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda _, name, __: server_names.append(name)
    names.answers["partner.example"] = [["127.0.0.1"]]
    with FakePartner(behaves, tls=context) as partner:
        target = replace(target_of(partner, host="partner.example"), ca_bundle=bundle)
        for _ in range(3):
            result = send(sender, target)
            assert_complete(result)

    assert server_names == ["partner.example"]
    assert partner.connections == 1
    assert partner.received[0].header("Host") == f"partner.example:{partner.port}"
    assert result.remote_address == f"127.0.0.1:{partner.port}"


def test_certificate_for_another_name_ends_the_call_unsent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, names: NameServer
) -> None:
    names.answers["other.example"] = [["127.0.0.1"]]
    with FakePartner(behaves, tls=tls) as partner:
        result = send(sender, replace(target_of(partner, host="other.example"), ca_bundle=bundle))

    assert_not_secure(result, "hostname mismatch")
    assert partner.received == []


def test_untrusted_certificate_ends_the_call_unsent(
    sender: Sender, tls: ssl.SSLContext, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text(bundle)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    with FakePartner(behaves, tls=tls) as partner:
        result = send(sender, target_of(partner))

    assert_not_secure(result, "unable to get local issuer certificate")
    assert partner.received == []


def test_expired_certificate_ends_the_call_unsent(sender: Sender, authority: trustme.CA, bundle: str) -> None:
    expired = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    with FakePartner(behaves, tls=server_context(expired)) as partner:
        result = send(sender, replace(target_of(partner), ca_bundle=bundle))

    assert_not_secure(result, "certificate has expired")
    assert partner.received == []


def test_tls_keys_are_not_logged_despite_sslkeylogfile(
    tls: ssl.SSLContext, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    connections._context.cache_clear()
    with FakePartner(behaves, tls=tls) as partner, Sender() as sender:
        assert_complete(send(sender, replace(target_of(partner), ca_bundle=bundle)))

    assert not (tmp_path / "keys.log").exists()


@pytest.mark.parametrize("first", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_partner_without_tls_gets_nothing(sender: Sender, bundle: str, first: bytes) -> None:
    def sends_plain_text(connection: Connection) -> None:
        connection.send(first)
        connection.stall()

    with FakePartner(sends_plain_text) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")


def resets_in_the_handshake(connection: Connection) -> None:
    connection.pause(0.1)
    connection.reset()


@pytest.mark.parametrize("waits", [False, True], ids=["during", "before"])
@pytest.mark.parametrize("script", [resets_in_the_handshake, closes_at_once])
def test_partner_that_disconnects_in_the_handshake_gets_nothing(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch, script: Script, waits: bool
) -> None:
    connect = connections.connect_to

    def connect_and_wait(address: Address, seconds: float) -> socket.socket:
        connection = connect(address, seconds)
        if waits:
            partner.wait_until_done()
        return connection

    monkeypatch.setattr(connections, "connect_to", connect_and_wait)
    with FakePartner(script) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")


def test_nothing_is_sent_in_clear_text_if_the_handshake_is_skipped(
    sender: Sender, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect_only(connection: HTTPSConnection) -> None:
        connection.sock = connection._new_conn()
        connection.is_verified = True

    monkeypatch.setattr(HTTPSConnection, "connect", connect_only)
    with FakePartner(behaves) as partner:
        assert_not_secure(send(sender, https_target(partner, bundle)), "tls handshake")

    assert partner.received == []


def drips_a_handshake(connection: Connection) -> None:
    connection.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 10000)


@pytest.mark.parametrize("script", [never_reads, drips_a_handshake])
def test_slow_handshake_is_cut_at_the_deadline(sender: Sender, bundle: str, script: Script) -> None:
    with FakePartner(script) as partner:
        result = send(sender, https_target(partner, bundle, SHORT))

    assert_late(result, sent=False)
    assert "TLS handshake" in detail_sentence(result.detail)


def test_handshake_may_take_all_the_time_left_with_many_addresses(
    sender: Sender, authority: trustme.CA, bundle: str, names: NameServer
) -> None:
    context = server_context(authority.issue_cert("partner.example"))
    context.sni_callback = lambda *_: time.sleep(0.6)
    names.answers["partner.example"] = [["127.0.0.1"] * 8]
    with FakePartner(behaves, tls=context) as partner:
        assert_complete(send(sender, replace(target_of(partner, 4.0, "partner.example"), ca_bundle=bundle)))


def session_tickets(secret: bytes, number: int) -> bytes:
    """Build a TLS 1.3 record of session tickets under a server's traffic secret, the ``number``-th."""

    def derived(label: bytes, length: int) -> bytes:
        info = struct.pack(">HB", length, len(label)) + label + b"\0"
        return HKDFExpand(SHA384(), length, info).derive(secret)

    ticket = struct.pack(">IIBBH", 60, 0, 1, 7, 8) + b"a ticket" + b"\0\0"
    records = (b"\4" + len(ticket).to_bytes(3, "big") + ticket) * 500 + b"\x16"
    head = b"\x17\3\3" + struct.pack(">H", len(records) + 16)
    nonce = int.from_bytes(derived(b"tls13 iv", 12), "big") ^ number
    return head + AESGCM(derived(b"tls13 key", 32)).encrypt(nonce.to_bytes(12, "big"), records, head)


def test_idle_connection_with_a_flood_of_session_tickets_is_replaced(
    sender: Sender, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.keylog_filename, context.num_tickets = str(log), 0
    has_sent = threading.Event()

    def floods_with_tickets(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        (secret,) = [line.split()[2] for line in log.read_text().splitlines() if "SERVER_TRAFFIC" in line]
        with socket.socket(fileno=os.dup(connection.descriptor)) as below:
            until = time.monotonic() + 2 * BOUND
            for number in itertools.count(1):
                if time.monotonic() > until:
                    break
                below.sendall(session_tickets(bytes.fromhex(secret), number))
                has_sent.set()

    with FakePartner(floods_with_tickets, behaves, tls=context) as partner:
        target = replace(target_of(partner, SHORT), ca_bundle=bundle)
        assert_complete(send(sender, target))
        assert has_sent.wait(BOUND)
        assert_complete(send(sender, target))

    assert partner.connections == 2


def test_close_notify_on_a_kept_connection_is_respected(
    sender: Sender, tls: ssl.SSLContext, bundle: str
) -> None:
    def ends_encryption(connection: Connection) -> None:
        connection.receive()
        connection.send(response())
        connection.end_encryption()

    with FakePartner(ends_encryption, behaves, tls=tls) as partner:
        target = replace(target_of(partner), ca_bundle=bundle)
        assert_complete(send(sender, target))
        partner.wait_until_done()
        assert_complete(send(sender, target))

    assert partner.connections == 2


@pytest.fixture(scope="module")
def client_certificate(authority: trustme.CA) -> str:
    return authority.issue_cert("supplier.example").private_key_and_cert_chain_pem.bytes().decode()


def test_client_certificate_is_presented_if_required(
    sender: Sender, strict_tls: ssl.SSLContext, bundle: str, client_certificate: str
) -> None:
    with FakePartner(behaves, tls=strict_tls) as partner:
        target = replace(target_of(partner), ca_bundle=bundle)
        assert_complete(send(sender, replace(target, client_certificate=client_certificate)))
        refused = send(sender, target)

    # With TLS 1.3 the refusal arrives only after the request was sent.
    assert refused.failure in (Failure.TLS, Failure.RESET)
    assert len(partner.received) == 1


@pytest.mark.parametrize("broken", ["no certificate", "no key", "no bundle", "encrypted key"])
def test_unreadable_certificates_are_a_bad_target(
    sender: Sender, bundle: str, client_certificate: str, broken: str
) -> None:
    target = Target("https://partner.example/", (), LOOPBACK, 10.0)
    targets = {
        "no certificate": replace(target, client_certificate="invalid"),
        "no key": replace(target, client_certificate=bundle),
        "no bundle": replace(target, ca_bundle="invalid"),
        "encrypted key": replace(target, client_certificate=bundle + encrypted_key()),
    }
    result = send(sender, targets[broken])

    assert (result.failure, result.sent) == (Failure.BAD_TARGET, False)
    assert detail_sentence(result.detail).startswith("The configured certificates cannot be used")


def test_text_around_trusted_certificates_is_ignored(
    sender: Sender, tls: ssl.SSLContext, bundle: str
) -> None:
    with FakePartner(behaves, tls=tls) as partner:
        target = replace(target_of(partner), ca_bundle=f"Autorité de société\n{bundle}")
        assert_complete(send(sender, target))


def encrypted_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return key.decode()
