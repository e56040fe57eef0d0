"""Responses without end: memory and processor time are bounded."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import cache

import pytest

from app.delivery.call_result import BODY_CAP
from app.delivery.http_client import Sender
from tests.delivery.misbehaving import (
    CHUNKED,
    HEAD,
    KILOBYTES,
    OK,
    FakePartner,
    Script,
    behaves,
    chunk,
    floods,
    responds,
    responds_and_closes,
    response,
)
from tests.delivery.posting import BOUND, Transport, assert_complete, assert_malformed, send, target_of


@contextlib.contextmanager
def memory_bounded(mebibytes: float = 4) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 1024 * 1024


ENDLESS_BODIES: dict[str, tuple[Script, int | None]] = {
    "until close": (floods(HEAD + b"\r\n", KILOBYTES), None),
    "chunks": (floods(CHUNKED, chunk(KILOBYTES)), None),
    "one enormous chunk": (floods(CHUNKED + b"FFFFFFFFFFFF\r\n", KILOBYTES), None),
    "a declared terabyte": (floods(HEAD + b"Content-Length: 1000000000000\r\n\r\n", KILOBYTES), 10**12),
}


@pytest.mark.parametrize(("script", "size"), ENDLESS_BODIES.values(), ids=ENDLESS_BODIES)
def test_endless_body_is_read_up_to_the_cap(
    sender: Sender, transport: Transport, script: Script, size: int | None
) -> None:
    with transport.partner(script, behaves) as partner:
        with memory_bounded():
            result = send(sender, transport.target(partner))
        assert_complete(send(sender, transport.target(partner)))

    assert (result.failure, result.status, result.truncated) == (None, 200, True)
    assert result.body == b"x" * BODY_CAP
    assert result.body_size == size


def test_body_at_the_cap_is_complete_and_one_byte_more_is_truncated(sender: Sender) -> None:
    with FakePartner(responds(response(b"x" * BODY_CAP), response(b"x" * (BODY_CAP + 1)))) as partner:
        complete, cut = send(sender, target_of(partner)), send(sender, target_of(partner))

    assert_complete(complete, b"x" * BODY_CAP)
    assert (cut.truncated, len(cut.body), cut.body_size) == (True, BODY_CAP, BODY_CAP + 1)


@cache
def compressed_bomb() -> bytes:
    """200 MB of zeros in a few hundred kilobytes; packing them takes half a second."""
    packer = zlib.compressobj(6, wbits=31)
    return b"".join([*(packer.compress(b"0" * 1_000_000) for _ in range(200)), packer.flush()])


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_compressed_bomb_is_decompressed_up_to_the_cap(
    sender: Sender, transport: Transport, status: str
) -> None:
    data = response(compressed_bomb(), "Content-Encoding: gzip", "Location: /elsewhere", status=status)
    with transport.partner(responds(data)) as partner, memory_bounded():
        result = send(sender, transport.target(partner))

    assert (result.failure, result.truncated, result.body_size) == (None, True, None)
    assert result.body == b"0" * BODY_CAP


FLOODS = {
    "header": floods(HEAD + b"X-Long: ", KILOBYTES),
    "headers": floods(HEAD, b"X-More: and more\r\n" * 1000),
    "100 Continue": floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "103 Early Hints": floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "status line": floods(b"HTTP/1.1 200 ", KILOBYTES),
    "trailers": floods(CHUNKED + chunk(OK) + b"0\r\n", b"X-More: and more\r\n" * 1000),
    "chunks of one byte": floods(CHUNKED, b"1\r\nx\r\n" * 1000),
    "chunk extensions": floods(CHUNKED, (b"2;" + b"y" * 1000 + b"\r\nxx\r\n") * 50),
    "chunk line": floods(CHUNKED + b"2;", KILOBYTES),
    "chunk of size -1": floods(CHUNKED + b"-1\r\n", KILOBYTES),
}


@pytest.mark.parametrize("script", FLOODS.values(), ids=FLOODS)
def test_flood_outside_the_body_ends_call_and_connection(
    sender: Sender, transport: Transport, script: Script
) -> None:
    with transport.partner(script, behaves) as partner:
        with memory_bounded():
            assert_malformed(send(sender, transport.target(partner)))
        assert_complete(send(sender, transport.target(partner)))


HARD_TO_PARSE = {
    "status line of blanks": b"HTTP/1.1 200" + b" " * 60_000 + b"\rx\r\n",
    "blanks before the status": b"HTTP/1.1" + b" \t" * 30_000 + b"\r\n",
    "name without a colon": HEAD + b"X" * 60_000 + b"\r\n",
    "blanks before a missing colon": HEAD + b"X" + b" " * 60_000 + b"\r\n",
    "value of blanks": HEAD + b"X:" + b" " * 60_000 + b"\rx\r\n",
    "folded ten thousand times": HEAD + b"X: a\r\n" + b" a\n" * 20_000 + b"\x00\n",
    "tokens without end": HEAD + b"Transfer-Encoding: " + b"," * 60_000 + b"\r\n\r\n",
    "chunk line of blanks": CHUNKED + b"2" + b" " * 999 + b"\rx\n",
}


@pytest.mark.parametrize("data", HARD_TO_PARSE.values(), ids=HARD_TO_PARSE)
def test_response_that_is_hard_to_parse_costs_little_time(
    sender: Sender, transport: Transport, data: bytes
) -> None:
    with transport.partner(responds_and_closes(data), behaves) as partner:
        before = time.process_time()
        assert_malformed(send(sender, transport.target(partner)))
        assert time.process_time() - before < BOUND
        assert_complete(send(sender, transport.target(partner)))
