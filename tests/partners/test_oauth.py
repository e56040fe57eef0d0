"""Tokens of OAuth client credentials, against a token end point on a real socket."""

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

from app.delivery.http_client import Sender, Target
from app.delivery.oauth import (
    Grant,
    NoToken,
    Token,
    Tokens,
    fetch,
    send,
    tokens,
)
from app.delivery.outcome import Failure
from app.partners.masking import MASK
from tests.delivery.misbehaving import behaves, response
from tests.partners.conftest import gives_tokens, token

HERE = (ip_network("127.0.0.0/8"),)
SECRET = "a-client-secret-of-ours"


def grant_at(url: str, **more: Any) -> Grant:
    return Grant(token_url=url, client_id="po confirm", client_secret=SECRET, allowed=HERE, **more)


def got(kept: Tokens, grant: Grant) -> Token | NoToken:
    with Sender() as sender:
        return kept.get(grant, sender)


@pytest.mark.parametrize("in_body", [False, True])
def test_a_token_is_asked_for_as_the_standard_says(serve: Callable[..., Any], in_body: bool) -> None:
    end_point = serve(gives_tokens(token("t-1", expires_in=3600)))
    found = got(Tokens(), grant_at(end_point.url("/token"), scope="orders:write", in_body=in_body))
    assert isinstance(found, Token) and found.text == "t-1"
    (asked,) = end_point.received
    form = parse_qs(asked.body.decode())
    assert asked.header("Content-Type") == "application/x-www-form-urlencoded"
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], ["orders:write"])
    if in_body:
        assert (form["client_id"], form["client_secret"]) == (["po confirm"], [SECRET])
        assert asked.header("Authorization") is None
    else:
        pair = base64.b64decode((asked.header("Authorization") or "").removeprefix("Basic ")).decode()
        assert pair == f"po+confirm:{SECRET}"
        assert "client_secret" not in form


def test_threads_that_ask_together_cause_one_call(serve: Callable[..., Any]) -> None:
    end_point = serve(gives_tokens(token("t-1", expires_in=3600)))
    kept, grant, found = Tokens(), grant_at(end_point.url()), []
    threads = [threading.Thread(target=lambda: found.append(got(kept, grant))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.text for one in found} == {"t-1"}
    assert len(end_point.received) == 1


@pytest.mark.parametrize(
    ("given", "used", "over"),
    [
        ({"expires_in": 3600}, 3500, 3550),
        ({"expires_in": "3600"}, 3500, 3550),
        ({"expires_in": 20}, 17, 19),
        ({}, 290, 310),
        ({"expires_in": "soon"}, 290, 310),
        ({"expires_in": True}, 290, 310),
    ],
)
def test_a_token_is_used_until_shortly_before_it_ends(
    serve: Callable[..., Any], clock: Any, given: dict[str, Any], used: float, over: float
) -> None:
    end_point = serve(gives_tokens(token("t-1", **given), token("t-2")))
    kept, grant = Tokens(), grant_at(end_point.url())
    assert got(kept, grant).text == "t-1"  # type: ignore[union-attr]
    clock.move(seconds=used)
    assert got(kept, grant).text == "t-1"  # type: ignore[union-attr]
    clock.move(seconds=over - used)
    assert got(kept, grant).text == "t-2"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "failure", "words"),
    [
        (
            response(b'{"error":"invalid_client","error_description":"No such client"}', status="401 No"),
            Failure.BAD_TARGET,
            "answered 401, invalid_client: No such client",
        ),
        (response(b"<html>", status="400 Bad"), Failure.BAD_TARGET, "answered 400"),
        (response(b"", status="503 Down"), Failure.ODD_ANSWER, "answered 503"),
        (response(b"", "Location: https://elsewhere.example", status="302 Found"), Failure.ODD_ANSWER, "302"),
        (response(b"<html>"), Failure.ODD_ANSWER, "no access_token"),
        (response(b'{"access_token":["x"]}'), Failure.ODD_ANSWER, "no access_token"),
        (response(b'{"access_token":"a\\nb"}'), Failure.ODD_ANSWER, "no access_token"),
        (response(b'{"access_token":"x","token_type":"mac"}'), Failure.ODD_ANSWER, "no bearer token"),
        (b"", Failure.RESET, "No token"),
    ],
)
def test_where_there_is_no_token_nothing_is_sent_and_the_reason_is_told(
    serve: Callable[..., Any], said: bytes, failure: Failure, words: str
) -> None:
    def script(talk: Any) -> None:
        talk.receive()
        talk.send(said)

    partner = serve(behaves)
    grant = grant_at(serve(script).url())
    with Sender() as sender:
        outcome = send(sender, Target(partner.url(), allowed=HERE), b"{}", {}, grant)
    assert (outcome.failure, outcome.sent, outcome.status) == (failure, False, None)
    assert words in outcome.detail and outcome.detail.startswith("No token")
    assert not partner.received


def test_the_end_point_is_vetted_like_any_address(serve: Callable[..., Any]) -> None:
    end_point = serve(gives_tokens(token("t-1")))
    grant = Grant(token_url=end_point.url(), client_id="a", client_secret=SECRET)
    with Sender() as sender:
        found = fetch(grant, sender)
    assert isinstance(found, NoToken) and found.outcome.failure is Failure.ADDRESS
    assert not end_point.received


def test_a_token_that_the_partner_does_not_take_is_renewed_once(serve: Callable[..., Any]) -> None:
    end_point = serve(gives_tokens(token("old"), token("new")))

    def wants_new(talk: Any) -> None:
        while True:
            right = talk.receive().header("Authorization") == "Bearer new"
            talk.send(response() if right else response(b"", status="401 Unauthorized"))

    partner, grant = serve(wants_new), grant_at(end_point.url())
    target = Target(partner.url(), allowed=HERE)
    with Sender() as sender:
        first = send(sender, target, b"{}", {"Idempotency-Key": "msg_1"}, grant)
        second = send(sender, target, b"{}", {"Idempotency-Key": "msg_2"}, grant)
    assert (first.status, second.status) == (200, 200)
    assert [one.header("Idempotency-Key") for one in partner.received] == ["msg_1", "msg_1", "msg_2"]
    assert len(end_point.received) == 2


def test_a_partner_that_takes_no_token_gets_two_tries_and_no_more(serve: Callable[..., Any]) -> None:
    end_point = serve(gives_tokens(token("a"), token("b"), token("c")))

    def never(talk: Any) -> None:
        while True:
            talk.receive()
            talk.send(response(b"", status="401 Unauthorized"))

    partner = serve(never)
    with Sender() as sender:
        outcome = send(sender, Target(partner.url(), allowed=HERE), b"{}", {}, grant_at(end_point.url()))
    assert outcome.status == 401
    assert len(partner.received) == len(end_point.received) == 2


def test_neither_token_nor_secret_is_ever_in_a_log_or_a_repr(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    end_point, partner = serve(gives_tokens(token("a-token-of-theirs"))), serve(behaves)
    grant = grant_at(end_point.url())
    with caplog.at_level(logging.DEBUG), Sender() as sender:
        send(sender, Target(partner.url(), allowed=HERE), b"{}", {}, grant)
        kept = tokens.get(grant, sender)
    for text in (caplog.text, repr(grant), repr(kept)):
        assert SECRET not in text and "a-token-of-theirs" not in text


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("proper", [True, False])
def test_a_secret_that_the_end_point_sends_back_is_told_to_nobody(
    serve: Callable[..., Any], in_body: bool, proper: bool
) -> None:
    secret = "o/u+r s=ecret"

    def echoes(talk: Any) -> None:
        asked = talk.receive()
        sent = f"{asked.header('Authorization')} {asked.body.decode()[-60:]} {secret}"
        said = json.dumps({"error": "invalid_client", "error_description": sent}).encode()
        talk.send(response(said, status="401 No") if proper else sent.encode() + b"\r\n\r\n")

    grant = replace(grant_at(serve(echoes).url(), in_body=in_body), client_secret=secret)
    with Sender() as sender:
        found = fetch(grant, sender)
    assert isinstance(found, NoToken)
    told = found.outcome.detail
    pair = base64.b64encode(f"po+confirm:{quote_plus(secret)}".encode()).decode()
    assert (MASK in told) is proper
    assert [form for form in (secret, quote_plus(secret), pair) if form[:12] in told] == []


def test_a_token_so_short_that_it_stands_in_texts_by_chance_makes_no_nonsense_of_an_answer(
    serve: Callable[..., Any],
) -> None:
    body = b'{"response_code":0,"payload":{"poConfirmation":{"objectId":"test-1"}}}'

    def accepts(talk: Any) -> None:
        talk.receive()
        talk.send(response(body))

    grant = grant_at(serve(gives_tokens(token("test"))).url())
    with Sender() as sender:
        outcome = send(sender, Target(serve(accepts).url(), allowed=HERE), b"{}", {}, grant)
    assert outcome.body == body


def test_after_a_fork_the_child_waits_for_no_token_that_its_parent_was_fetching(
    serve: Callable[..., Any],
) -> None:
    end_point = serve(lambda talk: (talk.receive(), talk.stall()), gives_tokens(token("t-1")))
    grant = grant_at(end_point.url())
    fetching = threading.Thread(target=got, args=(tokens, grant), daemon=True)
    fetching.start()
    end_point.wait_for(lambda: len(end_point.received) == 1)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends the child if nothing else does
        os._exit(0 if isinstance(got(tokens, grant), Token) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
