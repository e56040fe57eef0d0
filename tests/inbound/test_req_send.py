"""Incoming `req-send`: applied once, rejected clearly, always stored."""

from __future__ import annotations

import copy
import gzip
import json
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from app.inbound.models import Effect, InboundMessage
from app.inbound.processing import UNAUTHENTICATED_KEPT
from app.network.reader import dumps
from app.orders.models import PurchaseOrder, Revision
from app.partners.models import Partner
from tests.buyer import INBOUND_KEY
from tests.queries import count_rows

URL = "/api/v0/purchase-order/req-send"
KEY = {"X-Partner-Key": INBOUND_KEY}


@pytest.fixture
def client(app: Flask, partner: Partner) -> FlaskClient:
    return app.test_client()


def send(client: FlaskClient, body: Any, **more: Any) -> Any:
    raw = body if isinstance(body, bytes) else dumps(body)
    return client.post(URL, **{"data": raw, "headers": KEY, "content_type": "application/json", **more})


def resp(response: Any) -> dict[str, str]:
    envelope = response.get_json()
    assert set(envelope) == {"response_code", "response_message", "payload"}
    assert set(envelope["payload"]) == {"b2bIds", "resp", "purchaseOrder", "additionalInfos"}
    payload: dict[str, str] = envelope["payload"]["resp"]
    return payload


def test_examples_sent_twice_are_applied_once(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    first = [send(client, body) for body in example_bodies]
    again = [send(client, body) for body in example_bodies]
    assert {response.status_code for response in first + again} == {200}
    assert count_rows(session, PurchaseOrder) == 60
    assert count_rows(session, InboundMessage) == 120
    assert [response.data for response in first] == [response.data for response in again]


@pytest.mark.sqlite
def test_response_echoes_the_order_with_exact_amounts(client: FlaskClient, example_bodies: list[Any]) -> None:
    response = send(client, example_bodies[0])
    assert response.get_json()["response_code"] == 0
    assert resp(response)["result"] == "SUCCESS"
    assert b'"unitPrice":186.400' in response.data


def test_order_is_stored_byte_for_byte_with_its_response(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    raw = json.dumps(json.loads(dumps(example_bodies[0])), indent=3).encode()
    response = send(client, raw)
    inbound = session.scalars(
        select(InboundMessage).options(undefer(InboundMessage.body), undefer(InboundMessage.response_body))
    ).one()
    assert (inbound.body, inbound.response_body) == (raw, response.data)
    assert inbound.effect is Effect.APPLIED
    assert resp(response)["reqMsgId"] == inbound.id
    assert session.scalars(select(Revision)).one().body == raw
    assert INBOUND_KEY not in json.dumps(inbound.headers)


def test_same_key_with_different_content_is_a_conflict(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    send(client, example_bodies[0])
    other = copy.deepcopy(example_bodies[0])
    other["purchaseOrder"]["subject"] = "Something else"
    response = send(client, other)
    assert response.status_code == 409
    assert response.get_json()["response_code"] == 38
    assert resp(response)["errorField"] == "purchaseOrder.objectId"
    assert session.scalars(select(PurchaseOrder.subject)).one() == "Project material"
    assert count_rows(session, InboundMessage) == 2


def test_device_and_number_spelling_do_not_change_identity(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    send(client, example_bodies[0])
    other = copy.deepcopy(example_bodies[0])
    other["device"]["tag"]["value"] = "19.0760,72.8777"
    other["purchaseOrder"]["itemLists"][0]["quantity"] = 2.0
    assert send(client, json.dumps(other, default=float).encode()).status_code == 200
    assert count_rows(session, PurchaseOrder) == 1


def test_parallel_requests_create_one_order(
    app: Flask, partner: Partner, example_bodies: list[Any], session: Session
) -> None:
    responses = []

    def send_order() -> None:
        responses.append(send(app.test_client(), example_bodies[3]))

    threads = [threading.Thread(target=send_order) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {response.status_code for response in responses} == {200}
    assert len({response.data for response in responses}) == 1
    assert count_rows(session, PurchaseOrder) == 1


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("purchaseOrder", "subject"), None, "purchaseOrder.subject"),
        (("purchaseOrder", "objectId"), "", "purchaseOrder.objectId"),
        (("purchaseOrder", "buyerPONumber"), "x" * 51, "purchaseOrder.buyerPONumber"),
        (("purchaseOrder", "itemLists", 0, "quantity"), "two", "purchaseOrder.itemLists[0].quantity"),
        (("purchaseOrder", "objectVersion", "newVersion"), 1.5, "purchaseOrder.objectVersion.newVersion"),
        (("b2bIds", "supplierB2BId"), 'a"b', "b2bIds.supplierB2BId"),
        (("additionalInfos",), {}, "additionalInfos"),
        (("device",), None, "device"),
    ],
)
def test_invalid_field_is_named_and_message_is_stored(
    client: FlaskClient, example_bodies: list[Any], session: Session, path: Any, value: Any, field: str
) -> None:
    body = copy.deepcopy(example_bodies[0])
    parent = body
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    response = send(client, json.dumps(body, default=float).encode())
    assert response.status_code == 422
    assert resp(response)["errorField"] == field
    assert resp(response)["errorCd"] in ("PO_FIELD_MISSING", "PO_FIELD_INVALID")
    inbound = session.scalars(select(InboundMessage).options(undefer(InboundMessage.body))).one()
    assert inbound.effect is Effect.REJECTED and inbound.body
    assert count_rows(session, PurchaseOrder) == 0


UNREADABLE = [b"", b"{", b"[1,2", b"\xff\xfe", b'{"a":1,"a":2}', b"null", b"NaN", b"[" * 100_000]


def test_invalid_json_is_rejected(subtests: pytest.Subtests, client: FlaskClient) -> None:
    for raw in UNREADABLE:
        with subtests.test(raw=raw):
            response = send(client, raw)
            assert response.status_code in (400, 422)
            assert resp(response)["errorDtl"]


@pytest.mark.sqlite
def test_wrong_media_type_or_size_is_rejected(client: FlaskClient, settings: Any, session: Session) -> None:
    assert send(client, b"{}", content_type="text/plain").status_code == 415
    assert send(client, b" " * (settings.max_body_bytes + 1)).status_code == 413
    stored = session.scalars(select(InboundMessage).options(undefer(InboundMessage.body))).all()
    assert [(message.body, message.size) for message in stored] == [
        (b"", 2),
        (b"", settings.max_body_bytes + 1),
    ]


@pytest.mark.sqlite
def test_compressed_body_is_415_with_the_accepted_encoding(
    client: FlaskClient, example_bodies: list[Any]
) -> None:
    body = gzip.compress(dumps(example_bodies[0]))
    response = client.post(
        URL, data=body, content_type="application/json", headers={**KEY, "Content-Encoding": "gzip"}
    )
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "identity")
    assert resp(response)["errorCd"] == "PO_MEDIA_TYPE"


@pytest.mark.sqlite
def test_misspelled_api_path_is_404_in_json(subtests: pytest.Subtests, client: FlaskClient) -> None:
    for path in (
        "/api/v0//purchase-order/req-send",
        "/api//v0/purchase-order/req-send",
        "/API/v0/purchase-order/req-send",
        "/api/v0/%00",
    ):
        with subtests.test(path=path):
            response = client.post(path)
            assert (response.status_code, response.mimetype) == (404, "application/json")
            assert resp(response)["errorCd"] == "PO_UNKNOWN_RESOURCE"


def test_padded_supplier_id_is_trimmed(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    body = copy.deepcopy(example_bodies[0])
    body["b2bIds"]["supplierB2BId"] += "       "
    assert send(client, body).status_code == 200
    order = session.scalars(select(PurchaseOrder)).one()
    assert order.supplier_b2b_id == example_bodies[0]["b2bIds"]["supplierB2BId"]


@pytest.mark.parametrize("headers", [{}, {"X-Partner-Key": ""}, {"X-Partner-Key": "wrong"}])
def test_request_without_key_stores_only_metadata(
    client: FlaskClient, example_bodies: list[Any], session: Session, headers: Any
) -> None:
    response = send(client, example_bodies[0], headers=headers)
    assert response.status_code == 401
    assert resp(response)["errorCd"] == "PO_CREDENTIALS"
    inbound = session.scalars(select(InboundMessage).options(undefer(InboundMessage.body))).one()
    assert inbound.body == b"" and inbound.size > 1000 and inbound.partner_id is None


def test_requests_without_key_are_limited(
    client: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.inbound.processing.UNAUTHENTICATED_KEPT", 5)
    assert UNAUTHENTICATED_KEPT == 1000
    for number in range(1, 10):
        send(client, b" " * number, headers={})
        assert count_rows(session, InboundMessage) == min(number, 5)
    newest = session.scalars(select(InboundMessage.size).order_by(InboundMessage.id))
    assert newest.all() == [5, 6, 7, 8, 9]


def test_unknown_fields_and_statuses_are_stored(
    client: FlaskClient, example_bodies: list[Any], session: Session
) -> None:
    body = copy.deepcopy(example_bodies[0])
    body["purchaseOrder"]["colour"] = {"ral": [5010]}
    body["purchaseOrder"]["poStatusTransition"]["newStatus"] = "ON_HOLD"
    assert send(client, body).status_code == 200
    assert session.scalars(select(PurchaseOrder.status)).one() == "ON_HOLD"
    assert b"5010" in session.scalars(select(Revision)).one().body


@pytest.mark.sqlite
def test_unknown_address_is_404_in_json(subtests: pytest.Subtests, client: FlaskClient) -> None:
    for path in ("/api/v0/purchase-order/req-unknown", "/api/", "/api/v9/x"):
        with subtests.test(path=path):
            response = client.post(path, data=b"{}", headers=KEY, content_type="application/json")
            assert response.status_code == 404
            assert resp(response)["errorCd"] == "PO_UNKNOWN_RESOURCE"


@pytest.mark.sqlite
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (URL, "POST"),
        ("/api/v0/purchase-order/resp-confirm", "POST"),
        ("/api/v0/ping", "GET, HEAD"),
        ("/api/v0/openapi.json", "GET, HEAD"),
        ("/api/v0/docs", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_with_allow(client: FlaskClient, method: str, path: str, allowed: str) -> None:
    response = client.open(path, method=method, headers=KEY)
    if method in allowed:
        assert response.status_code == 200
        return
    assert (response.status_code, response.headers["Allow"]) == (405, allowed)
    if method != "HEAD":
        envelope = response.get_json()
        assert envelope["response_code"] == 1
        assert envelope["payload"]["resp"]["errorCd"] == "PO_METHOD"


@pytest.mark.sqlite
def test_unknown_address_is_not_found_with_any_method(subtests: pytest.Subtests, client: FlaskClient) -> None:
    for method in ("GET", "PUT", "OPTIONS", "TRACE", "BREW"):
        for path in ("/api", "/api/", "/api/v0/ping/", "/api/v0/nowhere"):
            with subtests.test(method=method, path=path):
                response = client.open(path, method=method, headers=KEY)
                assert (response.status_code, response.headers.get("Allow")) == (404, None)
                assert resp(response)["errorCd"] == "PO_UNKNOWN_RESOURCE"
