"""What the HTTP client sends, and what it makes of a response, without a connection."""

from __future__ import annotations

import gzip
import zlib
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from app.delivery import http_client
from app.delivery.call_result import BODY_CAP, Detail, DetailCode, Failure, SendAborted
from app.delivery.connections import SecurePool, tls_context
from app.delivery.http_client import (
    Target,
    _Adapter,
    _decompressed,
    _incomplete,
    _new_pool,
    _prepared,
    _result,
)

URL = "https://partner.example/hook"


def bad_target(target: Target, headers: dict[str, str] | None = None) -> Detail:
    with pytest.raises(SendAborted) as refused:
        _prepared(target, b"{}", headers or {})
    assert refused.value.failure is Failure.BAD_TARGET
    return refused.value.detail


def test_request_has_the_default_headers_and_its_own() -> None:
    request = _prepared(Target(URL, (("X-Key", "k"), ("accept", "text/plain"))), b"{}", {"x-key": "m"})
    assert (request.method, request.url, request.body) == ("POST", URL, b"{}")
    assert {name.lower(): value for name, value in request.headers.items()} == {
        "user-agent": "po-confirm/1",
        "accept": "text/plain",
        "content-type": "application/json",
        "accept-encoding": "identity",
        "x-key": "m",
        "content-length": "2",
    }
    plain = _prepared(Target(URL), b"", {})
    assert plain.headers["Accept"] == "application/json"
    assert "X-Key" not in plain.headers


@pytest.mark.parametrize(
    ("url", "code", "params"),
    [
        ("ftp://partner.example/", DetailCode.URL_INCOMPLETE, {}),
        ("partner.example", DetailCode.URL_INCOMPLETE, {}),
        ("https:///hook", DetailCode.URL_INCOMPLETE, {}),
        ("https://partner.example:0/", DetailCode.URL_INCOMPLETE, {}),
        ("https://partner.example/a b", DetailCode.URL_INCOMPLETE, {}),
        ("https://partner.example:65536/", DetailCode.URL_INVALID, {"cause": "Port out of range 0-65535"}),
        ("https://user@partner.example/", DetailCode.URL_WITH_USER, {}),
        ("https://partner%2eexample/", DetailCode.URL_WITH_ZONE, {}),
    ],
)
def test_bad_url_has_its_code(url: str, code: DetailCode, params: dict[str, Any]) -> None:
    assert bad_target(Target(url)) == Detail(code, params)


def test_url_that_requests_refuses_has_the_cause() -> None:
    expected = Detail(DetailCode.URL_INVALID, {"cause": "URL has an invalid label."})
    assert bad_target(Target("https://*.example/")) == expected


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_deadline_has_its_code(seconds: float) -> None:
    target = Target(URL, deadline=seconds)
    assert bad_target(target) == Detail(DetailCode.DEADLINE_INVALID, {"seconds": str(seconds)})


@pytest.mark.parametrize(
    ("name", "value", "code", "quoted"),
    [
        ("X-Key", "a\nb", DetailCode.HEADER_CHARACTERS, "'X-Key'"),
        ("X-Key", " a", DetailCode.HEADER_CHARACTERS, "'X-Key'"),
        ("X" * 70 + ":", "a", DetailCode.HEADER_CHARACTERS, "'" + "X" * 59),
        ("HOST", "a", DetailCode.HEADER_RESERVED, "HOST"),
    ],
)
def test_bad_header_is_named(name: str, value: str, code: DetailCode, quoted: str) -> None:
    expected = Detail(code, {"name": quoted})
    assert bad_target(Target(URL, ((name, value),))) == expected
    assert bad_target(Target(URL), {name: value}) == expected


@pytest.mark.parametrize(
    ("url", "host", "port", "is_secure"),
    [
        ("http://partner.example/", "partner.example", 80, False),
        ("http://partner.example:8080/", "partner.example", 8080, False),
        ("https://partner.example/", "partner.example", 443, True),
        ("https://partner.example:8443/", "partner.example", 8443, True),
    ],
)
def test_pool_connects_to_host_and_port_of_the_url(url: str, host: str, port: int, is_secure: bool) -> None:
    networks = (ip_network("192.0.2.0/24"),)
    pool: Any = _new_pool(Target(url, allowed=networks), url)
    assert (pool.host, pool.port, isinstance(pool, SecurePool)) == (host, port, is_secure)
    assert pool.conn_kw["allowed"] == networks


def test_pool_uses_the_certificates_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[Any] = []
    context = tls_context("", "")

    def context_of(*certificates: str) -> Any:
        pools.append(certificates)
        return context

    monkeypatch.setattr(http_client, "tls_context", context_of)
    pool: Any = _new_pool(Target(URL, client_certificate="ours", ca_bundle="theirs"), URL)
    assert pools == [("theirs", "ours")]
    assert pool.conn_kw["ssl_context"] is context


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_body_is_decompressed_up_to_the_cap(compress: Any) -> None:
    assert _decompressed(compress(b"{}"), False) == (b"{}", 2, False)
    assert _decompressed(compress(b"{}"), True) == (b"{}", None, True)
    complete, more = b"x" * BODY_CAP, b"x" * (BODY_CAP + 9)
    assert _decompressed(compress(complete), False) == (complete, BODY_CAP, False)
    assert _decompressed(compress(more), False) == (more[: BODY_CAP + 1], None, True)
    assert _decompressed(b"plain", True) == (b"plain", 5, True)


def call_with(headers: dict[str, Any] | None, declared: int | None = None, error: Any = None) -> Any:
    response = SimpleNamespace(
        headers=headers, declared=declared, status=200, stream=SimpleNamespace(error=error)
    )
    return SimpleNamespace(response=response, remote_address="192.0.2.1:443", sent=True)


def test_result_has_what_was_received() -> None:
    result = _result(call_with({"X-Odd": "a\0\tb\n", "Plain": "c"}), None, Detail(), b"{}", 12.5)
    assert result.headers == (("X-Odd", "a b"), ("Plain", "c"))
    assert (result.status, result.body, result.body_size, result.truncated) == (200, b"{}", 2, False)
    assert (result.remote_address, result.sent, result.duration_ms) == ("192.0.2.1:443", True, 12.5)


@pytest.mark.parametrize("spelling", ["gzip", " GZIP ", "x-gzip", "deflate"])
def test_result_has_the_decompressed_body(spelling: str) -> None:
    call = call_with({"content-encoding": spelling})
    result = _result(call, None, Detail(), gzip.compress(b"{}"), 1.0)
    assert (result.body, result.body_size) == (b"{}", 2)


def test_result_of_a_partial_body_has_the_declared_size() -> None:
    long = b"x" * (BODY_CAP + 1)
    result = _result(call_with({}, declared=9_000_000), None, Detail(), long, 1.0)
    assert (len(result.body), result.body_size, result.truncated) == (BODY_CAP, 9_000_000, True)
    partial = _result(call_with({}, declared=100), Failure.MALFORMED_RESPONSE, Detail(), b"{", 1.0)
    assert (partial.failure, partial.body, partial.body_size, partial.truncated) == (
        Failure.MALFORMED_RESPONSE,
        b"{",
        100,
        False,
    )
    complete = _result(call_with({}), None, Detail(), b"x" * BODY_CAP, 1.0)
    assert (len(complete.body), complete.body_size, complete.truncated) == (BODY_CAP, BODY_CAP, False)


@pytest.mark.parametrize("has_response", [True, False])
def test_result_without_headers_has_no_status(has_response: bool) -> None:
    call = call_with(None)
    if not has_response:
        call.response = None
    detail = Detail(DetailCode.URL_INCOMPLETE)
    result = _result(call, Failure.BAD_TARGET, detail, b"", 1.0)
    assert (result.failure, result.detail) == (Failure.BAD_TARGET, detail)
    assert (result.status, result.headers, result.body, result.body_size) == (None, (), b"", None)


def test_body_that_ends_early_counts_its_bytes() -> None:
    expected = Failure.MALFORMED_RESPONSE, Detail(DetailCode.BODY_CUT, {"bytes": 3})
    assert _incomplete(call_with({}), b"abc") == expected


def test_error_of_the_stream_explains_the_missing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ConnectionResetError()
    call = call_with({}, error=error)

    def aborted(*arguments: Any) -> SendAborted:
        assert arguments == (error, call)
        return SendAborted(Failure.RESET, DetailCode.CONNECTION_CLOSED, cause="reset")

    monkeypatch.setattr(http_client, "aborted", aborted)
    expected = Failure.RESET, Detail(DetailCode.CONNECTION_CLOSED, {"cause": "reset"})
    assert _incomplete(call, b"abc") == expected


def test_adapter_outside_of_a_call_has_no_pool() -> None:
    with pytest.raises(RuntimeError, match=r"^a request is sent outside of a call$"):
        _Adapter().get_connection_with_tls_context()
