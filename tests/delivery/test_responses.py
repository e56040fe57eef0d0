"""How responses are read: unusual ones are accepted, malformed ones are a failure."""

from __future__ import annotations

import gzip
import zlib

import pytest

from app.delivery.http_client import Sender
from app.delivery.presenters import detail_sentence
from tests.delivery.misbehaving import (
    CHUNKED,
    HEAD,
    OK,
    Connection,
    FakePartner,
    behaves,
    chunk,
    responds,
    responds_and_closes,
    response,
)
from tests.delivery.posting import (
    SHORT,
    Transport,
    assert_complete,
    assert_late,
    assert_malformed,
    send,
    target_of,
)

ACCEPTED_AND_REUSED = {
    "chunked": CHUNKED + chunk(OK[:5]) + chunk(OK[5:]) + chunk(b""),
    "chunk extensions and trailers": HEAD
    + b"Transfer-Encoding: Chunked\r\n\r\n"
    + b"%X;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(OK), OK),
    "chunks of one byte": CHUNKED
    + b"".join(chunk(OK[place : place + 1]) for place in range(len(OK)))
    + chunk(b""),
    "HTTP/1.0 with keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 19\r\n\r\n"
    + OK,
    "bare line feeds": b"HTTP/1.1 200\nContent-Length: 19, 19\n\n" + OK,
    "100 Continue": b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" * 2 + response(),
    "folded header": response(OK, "X-Folded: a", " b"),
    "identity coding": response(OK, "Transfer-Encoding: identity"),
}
ACCEPTED_THEN_CLOSED = {
    "102 Processing": b"HTTP/1.1 102 Processing\r\n\r\n" + response(),
    "103 Early Hints twice": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + response(),
    "blank before the colon": HEAD + b"Content-Length : 19\r\nX-A\t: b\r\n\r\n" + OK,
    "longer than declared": response() + b"more",
    "two responses in one packet": response() + response(b"for nobody"),
    "more after the last chunk": CHUNKED + chunk(OK) + chunk(b"") + b"more",
    "length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(OK) + chunk(b""),
    "line without a colon": HEAD + b"Content-Length: 19\r\nnonsense\r\n\r\n" + OK,
    "close": response(OK, "Connection: close"),
    "close among others": response(OK, "Connection: keep-alive", "CONNECTION: x,\t Close ,"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 19\r\n\r\n" + OK,
    "HTTP/1.0 keep-alive and close": b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n"
    b"Content-Length: 19\r\n\r\n" + OK,
}
ENDED_BY_CLOSE = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + OK,
    "HTTP/1.1": b"HTTP/1.1 200 OK\r\n\r\n" + OK,
    "close with a length": response(OK, "Connection: close"),
    "close with chunks": HEAD
    + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(OK)
    + chunk(b""),
}


@pytest.mark.parametrize("data", ACCEPTED_AND_REUSED.values(), ids=ACCEPTED_AND_REUSED)
def test_unusual_response_is_read_and_connection_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data, response())) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 1


@pytest.mark.parametrize("data", ACCEPTED_THEN_CLOSED.values(), ids=ACCEPTED_THEN_CLOSED)
def test_ambiguous_response_is_read_and_connection_not_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data, response(b"A")), responds(response(b"B"))) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)), b"B")


@pytest.mark.parametrize("data", ENDED_BY_CLOSE.values(), ids=ENDED_BY_CLOSE)
def test_response_may_end_with_the_connection(sender: Sender, transport: Transport, data: bytes) -> None:
    with transport.partner(responds_and_closes(data), behaves) as partner:
        assert_complete(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


GZIPPED = gzip.compress(OK, mtime=0)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(OK, mtime=0)),
        ("X-GZIP", gzip.compress(OK, mtime=0)),
        ("deflate", zlib.compress(OK)),
    ],
)
def test_unrequested_compressed_response_is_decompressed(sender: Sender, coding: str, data: bytes) -> None:
    with FakePartner(responds(response(data, f"Content-Encoding: {coding}"), response())) as partner:
        assert_complete(send(sender, target_of(partner)))
        assert_complete(send(sender, target_of(partner)))

    assert partner.received[0].header("Accept-Encoding") == "identity"


def test_body_that_is_not_gzip_as_declared_is_kept_as_received(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "Content-Encoding: gzip"))) as partner:
        assert_complete(send(sender, target_of(partner)))


@pytest.mark.parametrize("hints", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"], ids=["", "103"])
def test_unrequested_response_is_not_taken_for_the_next_one(
    sender: Sender, transport: Transport, hints: bytes
) -> None:
    def responds_twice(connection: Connection) -> None:
        connection.receive()
        if hints:
            connection.send(hints)
            connection.pause(0.2)
        connection.send(response(b"meant for A"))
        connection.pause(0.1)
        connection.send(response(b"meant for nobody"))
        connection.stall()

    with transport.partner(responds_twice, responds(response(b"meant for B"))) as partner:
        assert_complete(send(sender, transport.target(partner)), b"meant for A")
        partner.wait_until_done()
        assert_complete(send(sender, transport.target(partner)), b"meant for B")


MALFORMED = {
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "an unknown status": response(status="999 Denied"),
    "two lengths": HEAD + b"Content-Length: 19\r\nContent-Length: 20\r\n\r\n" + OK,
    "two lengths in one": HEAD + b"Content-Length: 19, 20\r\n\r\n" + OK,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + OK,
    "a signed length": HEAD + b"Content-Length: +19\r\n\r\n" + OK,
    "a length in words": HEAD + b"Content-Length: nineteen\r\n\r\n" + OK,
    "a length of 5,000 digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + OK,
    "a length after a no-break space": HEAD + b"Content-Length: \xa019\r\n\r\n" + OK,
    "a folded length": HEAD + b"Content-Length: 1\r\n 9\r\n\r\n" + OK,
    "an empty length": HEAD + b"Content-Length: 19\r\nContent-Length:\r\n\r\n" + OK,
    "chunks twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunk(b""),
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(b""),
    "a coding after a control character": HEAD + b"Transfer-Encoding: \x85chunked\r\n\r\n" + chunk(b""),
    "a chunk without a size": CHUNKED + b"\r\n" + OK,
    "a chunk longer than its size": CHUNKED + b"2\r\n1234\r\n",
    "only headers that cannot be read": HEAD + b"invalid\r\nContent-Length: 19\r\n\r\n" + OK,
    "a folded first header": HEAD + b" folded\r\nnonsense\r\n\r\n" + OK,
    "101 headers": HEAD + b"X-A: b\r\n" * 101 + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "no status line": OK + b"\n",
    "a mail server": b"220 mail.example ESMTP\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_response_is_a_failure_and_connection_not_reused(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds(data), behaves) as partner:
        assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))

    assert partner.connections == 2


@pytest.mark.parametrize(
    ("data", "quote"),
    [
        (b"220 mail.example ESMTP\r\n", "'220 mail.example ESMTP'"),
        (b"Bearer " + b"s3cret" * 6 + b" and more words than are quoted\r\n", "'Bearer'"),
        (b"s3cret" * 9 + b"\r\n", "'s3crets3'"),
    ],
)
def test_malformed_response_is_quoted_without_partial_secrets(
    sender: Sender, data: bytes, quote: str
) -> None:
    with FakePartner(responds(data)) as partner:
        result = send(sender, target_of(partner))

    assert (
        detail_sentence(result.detail) == f"The partner's HTTP response is malformed: it begins with {quote}."
    )


def test_control_characters_in_headers_are_replaced(sender: Sender) -> None:
    with FakePartner(responds(response(OK, "X-A: a\0b", "X-B: a", "  b"))) as partner:
        result = send(sender, target_of(partner))

    assert_complete(result)
    assert result.headers[:2] == (("X-A", "a b"), ("X-B", "a b"))


CUT = {
    "in the status line": b"HTTP/1.1 2",
    "after the status line": HEAD,
    "in a header": HEAD + b"Content-Le",
    "between the headers": HEAD + b"Content-Length: 19\r\n",
    "before the body": HEAD + b"Content-Length: 19\r\n\r\n",
    "in the body": HEAD + b"Content-Length: 100\r\n\r\n" + OK,
    "in a chunk": CHUNKED + b"64\r\n" + OK,
    "after a chunk": CHUNKED + b"13\r\n" + OK,
    "between chunks": CHUNKED + chunk(OK),
    "before the trailer": CHUNKED + chunk(OK) + b"0\r\n",
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "after a 102": b"HTTP/1.1 102 Processing\r\n\r\n",
}


@pytest.mark.parametrize("closing", ["closed", "half-closed"])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_response_that_ends_too_early_is_malformed(
    sender: Sender, transport: Transport, data: bytes, closing: str
) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(data)
        if closing == "half-closed":
            connection.half_close()

    with transport.partner(script, behaves) as partner:
        assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))


def test_response_shorter_than_declared_is_awaited_until_the_deadline(
    sender: Sender, transport: Transport
) -> None:
    with transport.partner(responds(HEAD + b"Content-Length: 100\r\n\r\n" + OK)) as partner:
        result = send(sender, transport.target(partner, SHORT))

    assert_late(result)
    assert (result.status, result.body, result.body_size) == (200, OK, 100)
