"""OAuth client credentials against a token endpoint on a real socket."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, quote_plus

import pytest

from app.delivery.call_result import Failure
from app.delivery.http_client import Sender, Target
from app.delivery.oauth import Grant, NoToken, Token, Tokens, fetch, send, tokens
from app.delivery.presenters import detail_sentence
from app.partners.masking import MASK
from tests.delivery.misbehaving import behaves, response
from tests.fixture_types import MoveClock
from tests.partners.credentials import gives_tokens, token
from tests.waiting import wait_until

pytestmark = pytest.mark.sqlite

LOOPBACK = (ip_network("127.0.0.0/8"),)
SECRET = "a-client-secret-of-ours"


def grant_at(url: str, **more: Any) -> Grant:
    return Grant(token_url=url, client_id="po confirm", client_secret=SECRET, allowed=LOOPBACK, **more)


def fetch_token(tokens: Tokens, grant: Grant) -> Token | NoToken:
    with Sender() as sender:
        return tokens.get(grant, sender)


@pytest.mark.parametrize("in_body", [False, True])
def test_token_request_follows_the_standard(serve: Callable[..., Any], in_body: bool) -> None:
    endpoint = serve(gives_tokens(token("t-1", expires_in=3600)))
    result = fetch_token(Tokens(), grant_at(endpoint.url("/token"), scope="orders:write", in_body=in_body))
    assert isinstance(result, Token) and result.text == "t-1"
    (request,) = endpoint.received
    form = parse_qs(request.body.decode())
    assert request.header("Content-Type") == "application/x-www-form-urlencoded"
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], ["orders:write"])
    if in_body:
        assert (form["client_id"], form["client_secret"]) == (["po confirm"], [SECRET])
        assert request.header("Authorization") is None
    else:
        pair = base64.b64decode((request.header("Authorization") or "").removeprefix("Basic ")).decode()
        assert pair == f"po+confirm:{SECRET}"
        assert "client_secret" not in form


def test_threads_share_one_token_request(serve: Callable[..., Any]) -> None:
    endpoint = serve(gives_tokens(token("t-1", expires_in=3600)))
    tokens, grant = Tokens(), grant_at(endpoint.url())
    results: list[Token | NoToken] = []
    threads = [threading.Thread(target=lambda: results.append(fetch_token(tokens, grant))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [token.text for token in results if isinstance(token, Token)] == ["t-1"] * 12
    assert len(endpoint.received) == 1


@pytest.mark.parametrize(
    ("lifetime", "used", "over"),
    [
        ({"expires_in": 3600}, 3500, 3550),
        ({"expires_in": "3600"}, 3500, 3550),
        ({"expires_in": 20}, 17, 19),
        ({}, 290, 310),
        ({"expires_in": "soon"}, 290, 310),
        ({"expires_in": True}, 290, 310),
    ],
)
def test_token_is_used_until_shortly_before_it_expires(
    serve: Callable[..., Any], move_clock: MoveClock, lifetime: dict[str, Any], used: float, over: float
) -> None:
    endpoint = serve(gives_tokens(token("t-1", **lifetime), token("t-2")))
    tokens, grant = Tokens(), grant_at(endpoint.url())
    assert fetch_token(tokens, grant).text == "t-1"  # type: ignore[union-attr]
    move_clock(seconds=used)
    assert fetch_token(tokens, grant).text == "t-1"  # type: ignore[union-attr]
    move_clock(seconds=over - used)
    assert fetch_token(tokens, grant).text == "t-2"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "reply",
    [
        b'\xef\xbb\xbf{"access_token":"t-1"}',
        b'{"access_token":"t-1","token_type":null}',
        b'{"access_token":"t-1","token_type":"BearerToken"}',
        b'{"access_token":"t-1","token_type":"","issued_at":123456789012345678901234567890,"ratio":NaN}',
        b'{"access_token":"t-1","scope":"a","scope":"a b"}',
    ],
)
def test_token_with_invalid_optional_fields_is_used(serve: Callable[..., Any], reply: bytes) -> None:
    def script(connection: Any) -> None:
        connection.receive()
        connection.send(response(reply))

    found = fetch_token(Tokens(), grant_at(serve(script).url()))
    assert isinstance(found, Token) and found.text == "t-1"


@pytest.mark.parametrize(
    ("reply", "failure", "words"),
    [
        (
            response(b'{"error":"invalid_client","error_description":"No such client"}', status="401 No"),
            Failure.BAD_TARGET,
            "returned 401, invalid_client: No such client",
        ),
        (response(b"<html>", status="400 Bad"), Failure.BAD_TARGET, "returned 400"),
        (response(b"", status="503 Down"), Failure.MALFORMED_RESPONSE, "returned 503"),
        (
            response(b"", "Location: https://elsewhere.example", status="302 Found"),
            Failure.MALFORMED_RESPONSE,
            "302",
        ),
        (response(b"<html>"), Failure.MALFORMED_RESPONSE, "without an access_token"),
        (response(b'{"access_token":["x"]}'), Failure.MALFORMED_RESPONSE, "without an access_token"),
        (response(b'{"access_token":"a\\nb"}'), Failure.MALFORMED_RESPONSE, "without an access_token"),
        (
            response(b'{"access_token":"x","token_type":"mac"}'),
            Failure.MALFORMED_RESPONSE,
            "not a bearer token",
        ),
        (b"", Failure.RESET, "No token"),
    ],
)
def test_no_token_sends_nothing_and_gives_a_reason(
    serve: Callable[..., Any], reply: bytes, failure: Failure, words: str
) -> None:
    def script(connection: Any) -> None:
        connection.receive()
        connection.send(reply)

    partner = serve(behaves)
    grant = grant_at(serve(script).url())
    with Sender() as sender:
        result = send(sender, Target(partner.url(), allowed=LOOPBACK), b"{}", {}, grant)
    assert (result.failure, result.sent, result.status) == (failure, False, None)
    assert words in detail_sentence(result.detail)
    assert detail_sentence(result.detail).startswith("No token")
    assert not partner.received


def test_token_endpoint_follows_the_address_policy(serve: Callable[..., Any]) -> None:
    endpoint = serve(gives_tokens(token("t-1")))
    grant = Grant(token_url=endpoint.url(), client_id="a", client_secret=SECRET)
    with Sender() as sender:
        result = fetch(grant, sender)
    assert isinstance(result, NoToken) and result.call_result.failure is Failure.ADDRESS
    assert not endpoint.received


def test_rejected_token_is_renewed_once(serve: Callable[..., Any]) -> None:
    endpoint = serve(gives_tokens(token("old"), token("new")))

    def accepts_new_token(connection: Any) -> None:
        while True:
            is_new = connection.receive().header("Authorization") == "Bearer new"
            connection.send(response() if is_new else response(b"", status="401 Unauthorized"))

    partner, grant = serve(accepts_new_token), grant_at(endpoint.url())
    target = Target(partner.url(), allowed=LOOPBACK)
    with Sender() as sender:
        first = send(sender, target, b"{}", {"Idempotency-Key": "msg_1"}, grant)
        second = send(sender, target, b"{}", {"Idempotency-Key": "msg_2"}, grant)
    assert (first.status, second.status) == (200, 200)
    assert [request.header("Idempotency-Key") for request in partner.received] == ["msg_1", "msg_1", "msg_2"]
    assert len(endpoint.received) == 2


def test_partner_that_rejects_every_token_gets_two_attempts(serve: Callable[..., Any]) -> None:
    endpoint = serve(gives_tokens(token("a"), token("b"), token("c")))

    def rejects(connection: Any) -> None:
        while True:
            connection.receive()
            connection.send(response(b"", status="401 Unauthorized"))

    partner = serve(rejects)
    with Sender() as sender:
        result = send(sender, Target(partner.url(), allowed=LOOPBACK), b"{}", {}, grant_at(endpoint.url()))
    assert result.status == 401
    assert len(partner.received) == len(endpoint.received) == 2


def test_token_and_secret_are_in_no_log_or_repr(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, partner = serve(gives_tokens(token("a-token-of-theirs"))), serve(behaves)
    grant = grant_at(endpoint.url())
    with caplog.at_level(logging.DEBUG), Sender() as sender:
        send(sender, Target(partner.url(), allowed=LOOPBACK), b"{}", {}, grant)
        access_token = tokens.get(grant, sender)
    for text in (caplog.text, repr(grant), repr(access_token)):
        assert SECRET not in text and "a-token-of-theirs" not in text


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("is_json", [True, False])
def test_secret_echoed_by_the_endpoint_is_masked(
    serve: Callable[..., Any], in_body: bool, is_json: bool
) -> None:
    secret = "o/u+r s=ecret"

    def echoes(connection: Any) -> None:
        request = connection.receive()
        sent = f"{request.header('Authorization')} {request.body.decode()[-60:]} {secret}"
        error_body = json.dumps({"error": "invalid_client", "error_description": sent}).encode()
        connection.send(response(error_body, status="401 No") if is_json else sent.encode() + b"\r\n\r\n")

    grant = replace(grant_at(serve(echoes).url(), in_body=in_body), client_secret=secret)
    with Sender() as sender:
        result = fetch(grant, sender)
    assert isinstance(result, NoToken)
    detail = detail_sentence(result.call_result.detail)
    pair = base64.b64encode(f"po+confirm:{quote_plus(secret)}".encode()).decode()
    assert (MASK in detail) is is_json
    assert [form for form in (secret, quote_plus(secret), pair) if form[:12] in detail] == []


def test_very_short_token_is_not_masked(serve: Callable[..., Any]) -> None:
    body = b'{"response_code":0,"payload":{"poConfirmation":{"objectId":"test-1"}}}'

    def accepts(connection: Any) -> None:
        connection.receive()
        connection.send(response(body))

    grant = grant_at(serve(gives_tokens(token("test"))).url())
    with Sender() as sender:
        result = send(sender, Target(serve(accepts).url(), allowed=LOOPBACK), b"{}", {}, grant)
    assert result.body == body


def test_forked_child_fetches_its_own_token(serve: Callable[..., Any]) -> None:
    endpoint = serve(
        lambda connection: (connection.receive(), connection.stall()), gives_tokens(token("t-1"))
    )
    grant = grant_at(endpoint.url())
    fetching = threading.Thread(target=fetch_token, args=(tokens, grant), daemon=True)
    fetching.start()
    wait_until(lambda: len(endpoint.received) == 1)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends the child in any case
        os._exit(0 if isinstance(fetch_token(tokens, grant), Token) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
