"""The API documentation is public, and its commands work as printed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.inbound.api_description import marked, messages, objects
from app.inbound.api_routes import KINDS
from app.network.examples import OBJECT_ID
from app.network.openapi import openapi
from app.network.vocabulary import Kind
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from tests.buyer import INBOUND_KEY
from tests.people import Browser
from tests.serving import served

pytestmark = pytest.mark.sqlite

DOCUMENT, PAGE = "/api/v0/openapi.json", "/api/v0/docs"


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The app on a real socket."""
    with served(app) as url:
        yield url


def test_document_is_public_and_names_its_server(anonymous: Browser) -> None:
    response = anonymous.get(DOCUMENT, base_url="http://localhost/desk")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    document = response.get_json()
    assert document["servers"] == [{"url": "http://localhost/desk"}]
    assert set(document["paths"]) == {f"/api/v0/purchase-order/{kind}" for kind in KINDS}


def test_page_is_public_and_lists_every_message(anonymous: Browser) -> None:
    response = anonymous.get(PAGE)
    assert response.status_code == 200
    for kind in KINDS:
        assert f"POST /api/v0/purchase-order/{kind}" in response.visible_text
        assert response.one(f"#{kind}-curl").get_text().startswith("curl --request POST")
    assert "style=" not in response.text
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_page_is_the_same_when_signed_in(asha: Browser) -> None:
    assert "$PARTNER_KEY" in asha.get(PAGE).visible_text


def test_every_link_on_the_page_has_a_target(anonymous: Browser) -> None:
    page = anonymous.get(PAGE).page
    ids = {tag["id"] for tag in page.find_all(id=True)}
    assert {link["href"][1:] for link in page.select('a[href^="#"]')} <= ids


def test_unknown_api_address_is_rejected_in_json(anonymous: Browser) -> None:
    for path in ("/api/v0/openapi.yaml", "/api/v0/docs/more", "/api/"):
        response = anonymous.get(path)
        assert (response.status_code, response.get_json()["response_code"]) == (404, 1)


def test_hostile_host_is_inert(anonymous: Browser) -> None:
    page = anonymous.get(PAGE, base_url="http://a'b`id`$(id).example/<script>").text
    assert "<script>" not in page
    document = openapi("http://a'b`id`.example")
    for path, item in document["paths"].items():
        words = shlex.split(item["post"]["x-codeSamples"][0]["source"])
        assert words[3] == "http://a'b`id`.example" + path


def test_marked_text_is_escaped() -> None:
    assert marked("a `<b>` **c** & d\n\ne") == (
        "<p>a <code>&lt;b&gt;</code> <strong>c</strong> &amp; d</p><p>e</p>"
    )


def test_every_object_has_a_description_and_every_link_a_target() -> None:
    document = openapi("http://x")
    described, parts = messages(document), objects(document)
    places = {message.name for message in described} | {part.name for part in parts}
    for part in parts:
        assert part.description, part.name
        assert part.fields or part.values, part.name
    fields = [field for message in described for field in message.fields]
    fields += [field for part in parts for field in part.fields]
    for field in fields:
        assert not field.link or field.anchor in places, field


def run(command: str, key: str) -> dict[str, Any]:
    """Send the request of a printed curl command."""
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PARTNER_KEY": key, "PATH": os.environ["PATH"], "no_proxy": "*"},
        capture_output=True,
        timeout=30,
        check=True,
    )
    response: dict[str, Any] = json.loads(done.stdout)
    return response


def printed(address: str) -> dict[str, str]:
    """The commands of the page as a reader copies them."""
    page = BeautifulSoup(requests.get(address + PAGE, timeout=30).text, "html.parser")
    return {str(pre["id"]).removesuffix("-curl"): pre.get_text() for pre in page.select("pre[id$=-curl]")}


def result(response: dict[str, Any]) -> tuple[int, str]:
    return response["response_code"], response["payload"]["resp"]["errorDtl"]


def test_curl_examples_work(address: str, partner: Partner, session: Session) -> None:
    commands = printed(address)
    assert list(commands) == [path.rsplit("/", 1)[1] for path in openapi("")["paths"]]
    for name in (Kind.REQ_SEND, Kind.REQ_SEND, Kind.REQ_EDIT, Kind.REQ_STATUS_CHANGE):
        if name in commands:
            assert result(run(commands[name], INBOUND_KEY)) == (0, ""), name
    assert session.scalars(select(PurchaseOrder)).one().object_id == OBJECT_ID


def test_curl_examples_fail_with_a_wrong_key(address: str, partner: Partner) -> None:
    for command in printed(address).values():
        response = run(command, "another-key")
        assert response["payload"]["resp"]["errorCd"] == "PO_CREDENTIALS"


def test_late_result_example_works_after_a_response(
    address: str, partner: Partner, session: Session, asha: Browser, deliver: Callable[[], Counter[str]]
) -> None:
    commands = printed(address)
    for name in (Kind.REQ_SEND, Kind.REQ_EDIT):
        assert result(run(commands[name], INBOUND_KEY)) == (0, ""), name
    order = session.scalars(select(PurchaseOrder)).one()
    assert asha.respond(order.id).status_code == 303
    assert deliver()["delivered"] == 1
    assert result(run(commands[Kind.RESP_CONFIRM], INBOUND_KEY)) == (0, "")
