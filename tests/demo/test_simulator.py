"""The simulator accepts responses as documented, and fails as configured."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any

import html5lib
import pytest
import requests
from bs4 import BeautifulSoup
from flask import Flask, request
from flask.testing import FlaskClient

from app.demo.behavior import MODES
from app.demo.simulator import create_simulator
from app.network.messages import parse
from app.network.reader import dumps, read_json
from app.network.replies import build_reply, read_reply
from app.network.vocabulary import Kind
from tests.demo.client import PATH, confirm, confirmation, received, resp, set_mode
from tests.serving import served
from tests.waiting import wait_until

pytestmark = pytest.mark.sqlite


# Receiving responses


def test_valid_response_is_accepted_with_the_documented_reply(client: FlaskClient) -> None:
    message = confirmation()
    response = confirm(client, message)
    assert response.status_code == 200
    body = response.get_json()
    req_msg_id = body["payload"]["resp"]["reqMsgId"]
    assert body == build_reply(Kind.REQ_CONFIRM, message, req_msg_id=req_msg_id)
    assert req_msg_id.startswith("REQ")
    assert len(req_msg_id) == 35
    assert read_reply(response.data) is not None


def test_repeated_response_gets_the_same_reply(client: FlaskClient) -> None:
    first = confirm(client, confirmation(), "msg_1")
    again = confirm(client, confirmation(), "msg_1")
    with_other_key = confirm(client, confirmation(), "msg_2")
    assert first.data == again.data == with_other_key.data
    assert [exchange["repeat"] for exchange in received(client)] == [False, True, True]


@pytest.mark.parametrize(
    "different",
    [confirmation(response="REJECT", new_status="REJECTED"), confirmation(remarks="On second thoughts")],
)
def test_different_response_to_a_version_is_a_conflict(
    client: FlaskClient, different: dict[str, Any]
) -> None:
    confirm(client, confirmation(), "msg_1")
    response = confirm(client, different, "msg_2")
    assert response.status_code == 409
    assert response.get_json()["response_code"] == 38
    assert resp(response)["result"] == "FAILURE"
    assert confirm(client, confirmation(), "msg_1").status_code == 200


def test_other_versions_and_orders_are_independent(client: FlaskClient) -> None:
    assert confirm(client, confirmation(), "msg_1").status_code == 200
    rejection = partial(confirmation, response="REJECT", new_status="REJECTED")
    assert confirm(client, rejection(version=2), "msg_2").status_code == 200
    assert confirm(client, rejection(object_id="POR2"), "msg_3").status_code == 200


def test_key_of_another_message_is_a_conflict(client: FlaskClient) -> None:
    confirm(client, confirmation(), "msg_1")
    response = confirm(client, confirmation(object_id="POR2"), "msg_1")
    assert (response.status_code, response.get_json()["response_code"]) == (409, 38)


def test_refused_version_accepts_another_response(client: FlaskClient) -> None:
    set_mode(client, "refuse", times=1)
    refused = confirm(client, confirmation(), "msg_1")
    assert refused.status_code == 200
    assert refused.get_json()["response_code"] == 1
    assert resp(refused)["errorField"] == "poConfirmation.supplierRemarks"
    second = confirm(client, confirmation(response="REJECT", new_status="REJECTED"), "msg_2")
    assert (second.status_code, second.get_json()["response_code"]) == (200, 0)
    assert resp(second)["reqMsgId"] != resp(refused)["reqMsgId"]


def test_ten_parallel_requests_are_one_message(simulator: Flask, client: FlaskClient) -> None:
    with ThreadPoolExecutor(10) as pool:
        replies = pool.map(lambda _: confirm(simulator.test_client(), confirmation()).data, range(10))
    assert len(set(replies)) == 1
    assert [exchange["repeat"] for exchange in received(client)].count(False) == 1


def with_value(message: dict[str, Any], part: str, name: str, value: object) -> dict[str, Any]:
    message["poConfirmation"][part][name] = value
    return message


@pytest.mark.parametrize(
    ("part", "name", "value", "status", "field"),
    [
        ("objectVersion", "newVersion", 2, 422, "poConfirmation.objectVersion.newVersion"),
        ("objectVersion", "newVersion", "1", 422, "poConfirmation.objectVersion.newVersion"),
        ("poStatusTransition", "newStatus", "REJECTED", 409, "poConfirmation.poStatusTransition.newStatus"),
        (
            "poStatusTransition",
            "currentStatus",
            "CANCELLED",
            409,
            "poConfirmation.poStatusTransition.currentStatus",
        ),
        ("poStatusTransition", "note", "x", 422, "poConfirmation.poStatusTransition.note"),
    ],
)
def test_invalid_response_is_refused_with_its_field(
    client: FlaskClient, part: str, name: str, value: object, status: int, field: str
) -> None:
    response = confirm(client, with_value(confirmation(), part, name, value))
    assert response.status_code == status
    assert response.get_json()["response_code"] == 1
    assert resp(response)["errorField"] == field
    assert resp(response)["errorDtl"]
    assert confirm(client, confirmation()).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "PO_UNREADABLE"),
        (b"{", 400, "PO_UNREADABLE"),
        (b'{"device":1,"device":2}', 400, "PO_UNREADABLE"),
        (b"[" * 100_000, 400, "PO_UNREADABLE"),
        (b"[]", 422, "PO_FIELD_INVALID"),
        (b"{}", 422, "PO_FIELD_MISSING"),
        (b'"' + b"x" * 1_048_576 + b'"', 413, "PO_TOO_LARGE"),
    ],
)
def test_malformed_body_gets_the_reply_format(
    client: FlaskClient, body: bytes, status: int, code: str
) -> None:
    response = confirm(client, body)
    assert response.status_code == status
    assert resp(response)["errorCd"] == code
    assert response.get_json()["payload"]["poConfirmation"] == {}


def test_wrong_media_type_or_method_gets_the_reply_format(client: FlaskClient) -> None:
    response = client.post(PATH, data=dumps(confirmation()), content_type="text/plain")
    assert (response.status_code, resp(response)["errorCd"]) == (415, "PO_MEDIA_TYPE")
    response = client.get(PATH)
    assert (response.status_code, resp(response)["errorCd"]) == (405, "PO_METHOD")
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("X-Partner-Key", "s3cret", 200),
        ("X-Api-Key", "s3cret", 200),
        ("Authorization", "Bearer s3cret", 200),
        ("X-Partner-Key", "other", 401),
        ("X-Partner-Key", "ключ".encode().decode("latin-1"), 401),
        ("X-Unknown-Key", "s3cret", 401),
    ],
)
def test_simulator_with_a_key_requires_it(header: str, value: str, status: int) -> None:
    client = create_simulator(send_to="http://x", inbound_key="k", partner_key="s3cret").test_client()
    response = confirm(client, confirmation(), **{header: value})
    assert response.status_code == status
    assert resp(response)["errorCd"] == ("" if status == 200 else "PO_CREDENTIALS")


# Pages


def test_received_requests_are_listed_newest_last(client: FlaskClient) -> None:
    message = confirmation(remarks="ठीक है")
    confirm(client, message, "msg_1")
    confirm(client, b"{nonsense", "msg_2")
    first, second = received(client)
    assert first["raw"] == dumps(message).decode()
    assert first["sha256"] == sha256(dumps(message)).hexdigest()
    assert first["body"] == message
    assert first["headers"]["Idempotency-Key"] == first["idempotency_key"] == "msg_1"
    assert first["answer"]["status"] == 200
    assert first["answer"]["body"]["response_code"] == 0
    assert (first["mode"], first["repeat"]) == ("ok", False)
    assert first["received_at"].endswith("+00:00")
    assert (second["raw"], second["body"], second["answer"]["status"]) == ("{nonsense", None, 400)


def test_received_list_is_filtered_by_order_and_key(client: FlaskClient) -> None:
    confirm(client, confirmation(), "msg_1")
    confirm(client, confirmation(object_id="POR2"), "msg_2")
    assert [request["idempotency_key"] for request in received(client, object_id="POR2")] == ["msg_2"]
    assert [request["idempotency_key"] for request in received(client, idempotency_key="msg_1")] == ["msg_1"]
    assert received(client, object_id="POR2", idempotency_key="msg_1") == []


def test_page_is_valid_html_after_hostile_input(client: FlaskClient) -> None:
    strict = html5lib.HTMLParser(strict=True)
    strict.parse(client.get("/?sent=3&accepted=1").text)
    confirm(client, confirmation(remarks="<script>alert(1)</script>", object_id="<b>"), "<i>&")
    confirm(client, b'{"poConfirmation":{"supplierRemarks":{"items":1}}}')
    confirm(client, b"\xff\x00<script>")
    confirm(client, b"[1]")
    set_mode(client, "418")
    page = client.get("/").text
    strict.parse(page)
    assert "<script" not in page
    assert "style=" not in page
    assert "MAL/2611/45007" in page


def test_every_reply_has_security_headers(client: FlaskClient) -> None:
    for path in ("/", "/simulator.css", "/received.json", "/nothing", PATH):
        response = client.get(path)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"], path
        assert response.headers["X-Content-Type-Options"] == "nosniff"


# Behavior


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
def test_status_mode_replies_in_format_and_accepts_nothing(client: FlaskClient, status: int) -> None:
    set_mode(client, str(status), times=1)
    response = confirm(client, confirmation())
    assert response.status_code == status
    assert response.get_json()["response_code"] == 1
    second = confirm(client, confirmation(response="REJECT", new_status="REJECTED"), "msg_2")
    assert second.status_code == 200


def test_conflict_mode_is_a_duplicate_reference(client: FlaskClient) -> None:
    set_mode(client, "409")
    response = confirm(client, confirmation())
    assert (response.status_code, response.get_json()["response_code"]) == (409, 38)


def test_response_mode_lasts_for_its_count(client: FlaskClient) -> None:
    set_mode(client, "503", times=2)
    assert client.get("/behaviour.json").get_json()["times"] == 2
    assert [confirm(client, confirmation()).status_code for _ in range(4)] == [503, 503, 200, 200]
    assert client.get("/behaviour.json").get_json()["mode"] == "ok"
    set_mode(client, "500")
    assert [confirm(client, confirmation()).status_code for _ in range(4)] == [500] * 4


def test_refusal_has_the_requested_text(client: FlaskClient) -> None:
    set_mode(client, "refuse", error_cd="BPR099", error_dtl="Too late", error_field="poConfirmation.objectId")
    fields = resp(confirm(client, confirmation()))
    assert (fields["errorCd"], fields["errorDtl"]) == ("BPR099", "Too late")
    assert fields["errorField"] == "poConfirmation.objectId"


def test_retry_after_can_be_set(client: FlaskClient) -> None:
    set_mode(client, "429", retry_after="120")
    assert confirm(client, confirmation()).headers["Retry-After"] == "120"


@pytest.mark.parametrize(
    ("name", "mode"),
    [("broken-json", "broken_json"), ("Wrong Object", "wrong_object"), ("down", "503"), ("418", "418")],
)
def test_mode_names_ignore_case_and_separators(client: FlaskClient, name: str, mode: str) -> None:
    for body in ({"data": {"mode": name}}, {"json": {"mode": name}}):
        response = client.post("/behaviour", **body)
        assert response.get_json()["mode"] == mode


def test_any_status_can_be_set(client: FlaskClient) -> None:
    set_mode(client, "status", status=507)
    assert confirm(client, confirmation()).status_code == 507
    set_mode(client, "status", status=202)
    assert confirm(client, confirmation()).get_json()["response_code"] == 0
    set_mode(client, "status", status=204)
    assert confirm(client, confirmation()).data == b""


def test_unknown_mode_error_lists_the_modes(subtests: pytest.Subtests, client: FlaskClient) -> None:
    invalid: list[dict[str, object] | list[object]] = [
        {"mode": "unknown"},
        {"mode": None},
        {"mode": []},
        {"mode": "600"},
        {"mode": "ok", "times": 0},
        {"mode": "ok", "times": "many"},
        {"mode": "slow", "seconds": "nan"},
        {"mode": "slow", "seconds": -1},
        {"mode": "slow", "seconds": 601},
        {"mode": "slow", "seconds": [1]},
        {"mode": "status", "status": 99},
        {"mode": "429", "retry_after": "1\r\nSet-Cookie: x"},
        [],
    ]
    for options in invalid:
        with subtests.test(options=options):
            response = client.post("/behaviour", json=options)
            assert response.status_code == 422
            assert response.get_json()["modes"] == list(MODES)
            assert client.get("/behaviour.json").get_json()["mode"] == "ok"


def test_mode_in_malformed_json_is_rejected(client: FlaskClient) -> None:
    response = client.post("/behaviour", data=b"{", content_type="application/json")
    assert response.status_code == 400


@pytest.mark.parametrize(("mode", "button"), [("ok", "Send"), ("503", "Reset to healthy")])
def test_page_has_one_main_button(client: FlaskClient, mode: str, button: str) -> None:
    set_mode(client, mode)
    buttons = BeautifulSoup(client.get("/").text, "html.parser").select("button.main")
    assert [found.get_text() for found in buttons] == [button]


def test_browser_is_redirected_to_the_page(client: FlaskClient) -> None:
    response = client.post("/behaviour", data={"mode": "503"}, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_cannot_change_the_simulator(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    assert client.post("/behaviour", data={"mode": "ok"}, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("mode", "starts", "media_type"),
    [
        ("empty", b"", "application/json"),
        ("html", b"<!doctype html>", "text/html"),
        ("broken_json", b'{"response_code":0', "application/json"),
    ],
)
def test_unreadable_reply_mode_accepts_the_response(
    client: FlaskClient, mode: str, starts: bytes, media_type: str
) -> None:
    set_mode(client, mode, times=1)
    response = confirm(client, confirmation())
    assert (response.status_code, response.mimetype) == (200, media_type)
    assert response.data.startswith(starts)
    assert read_reply(response.data) is None
    assert received(client)[-1]["answer"] == {"status": 200, "body": response.text}
    confirm(client, confirmation())
    assert received(client)[-1]["repeat"]


def test_redirect_mode_accepts_nothing(client: FlaskClient) -> None:
    set_mode(client, "redirect", times=1)
    response = confirm(client, confirmation())
    assert (response.status_code, response.headers["Location"]) == (302, "/received.json")
    confirm(client, confirmation())
    assert not received(client)[-1]["repeat"]


def test_wrong_object_mode_echoes_another_object(client: FlaskClient) -> None:
    set_mode(client, "wrong_object")
    reply = read_reply(confirm(client, confirmation()).data)
    assert reply is not None
    assert reply.response_code == 0
    assert reply.object_id != confirmation()["poConfirmation"]["objectId"]


# On a real socket


def post(
    simulator_url: str, message: dict[str, Any], key: str = "msg_1", **options: Any
) -> requests.Response:
    return requests.post(
        simulator_url + PATH,
        data=dumps(message),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
        **{"timeout": 10, **options},
    )


def set_mode_of(simulator_url: str, mode: str, **more: object) -> None:
    assert requests.post(f"{simulator_url}/behaviour", json={"mode": mode, **more}, timeout=10).ok


def last_exchange(simulator_url: str) -> dict[str, Any]:
    listed = requests.get(f"{simulator_url}/received.json", timeout=10).json()["received"]
    exchange: dict[str, Any] = listed[-1]
    return exchange


@pytest.mark.parametrize("mode", ["reset", "cut"])
def test_dropped_connection_mode_drops_immediately(simulator_url: str, mode: str) -> None:
    set_mode_of(simulator_url, mode, times=1)
    started = time.monotonic()
    with pytest.raises(requests.RequestException):
        post(simulator_url, confirmation())
    assert time.monotonic() - started < 3
    assert post(simulator_url, confirmation()).json()["response_code"] == 0
    assert last_exchange(simulator_url)["repeat"]


def test_silence_mode_closes_after_its_seconds_without_a_response(simulator_url: str) -> None:
    set_mode_of(simulator_url, "timeout", seconds=0.5, times=1)
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        post(simulator_url, confirmation())
    assert time.monotonic() - started >= 0.5
    assert last_exchange(simulator_url)["answer"] == {"status": None, "body": None}


def test_timeout_mode_outlasts_the_sender(simulator_url: str) -> None:
    set_mode_of(simulator_url, "timeout", seconds=3, times=1)
    with pytest.raises(requests.ReadTimeout):
        post(simulator_url, confirmation(), timeout=0.3)
    assert post(simulator_url, confirmation()).status_code == 200


def test_dripped_reply_is_complete(simulator_url: str) -> None:
    set_mode_of(simulator_url, "drip", seconds=0.6, times=1)
    started = time.monotonic()
    assert post(simulator_url, confirmation()).json()["response_code"] == 0
    assert time.monotonic() - started >= 0.6


def test_slow_reply_does_not_delay_others(simulator_url: str) -> None:
    set_mode_of(simulator_url, "slow", seconds=1.5, times=1)
    slow = threading.Thread(target=post, args=(simulator_url, confirmation()))
    started = time.monotonic()
    slow.start()
    wait_until(lambda: requests.get(f"{simulator_url}/behaviour.json", timeout=10).json()["mode"] == "ok")
    assert post(simulator_url, confirmation(object_id="POR2"), "msg_2").status_code == 200
    assert slow.is_alive()
    slow.join()
    assert time.monotonic() - started >= 1.5


def test_huge_reply_is_over_any_limit(simulator_url: str) -> None:
    set_mode_of(simulator_url, "huge", times=1)
    with post(simulator_url, confirmation(), stream=True) as response:
        size = 0
        for piece in response.iter_content(1_048_576):
            size += len(piece)
            if size > 20 * 1_048_576:
                break
    assert size > 20 * 1_048_576


# Sending orders


@pytest.fixture
def product() -> Flask:
    """A stub of PO Confirm that stores received messages."""
    app = Flask("product")
    app.config["RECEIVED"] = []

    @app.post("/api/v0/purchase-order/req-send")
    def req_send() -> tuple[bytes, int]:
        order = read_json(request.get_data())
        app.config["RECEIVED"].append((request.headers, order))
        if len(app.config["RECEIVED"]) == 3:
            return b"<h1>Oops</h1>", 500
        return dumps(build_reply(Kind.REQ_SEND, order, req_msg_id="in_1")), 200

    return app


def test_new_orders_are_sent_with_the_key_and_replies_are_reported(product: Flask) -> None:
    with served(product) as url:
        client = create_simulator(send_to=url + "/", inbound_key="inbound-secret").test_client()
        result = client.post("/send-orders", data={"count": "4"}).get_json()
        page = client.get("/").text
    assert (result["sent"], result["accepted"]) == (4, 3)
    assert [sent["status"] for sent in result["answers"]] == [200, 200, 500, 200]
    assert result["answers"][2]["answer"] == "<h1>Oops</h1>"
    assert result["answers"][0]["answer"]["response_code"] == 0
    headers, order = product.config["RECEIVED"][0]
    assert headers["X-Partner-Key"] == "inbound-secret"
    assert headers["Content-Type"] == "application/json"
    parsed = parse(Kind.REQ_SEND, order)
    assert parsed.purchase_order.object_id == result["answers"][0]["objectId"]
    assert parsed.purchase_order.buyer_po_number in page


def test_browser_sees_how_many_orders_were_accepted(product: Flask) -> None:
    with served(product) as url:
        client = create_simulator(send_to=url, inbound_key="k").test_client()
        response = client.post("/send-orders", data={"count": "2"}, headers={"Accept": "text/html"})
        assert response.headers["Location"] == "/?sent=2&accepted=2"
        assert "PO Confirm accepted 2 of 2 new orders" in client.get(response.headers["Location"]).text


def test_unreachable_app_is_reported(client: FlaskClient) -> None:
    result = client.post("/send-orders", json={"count": 5}).get_json()
    assert (result["sent"], result["accepted"]) == (1, 0)
    assert result["answers"][0]["answer"].startswith("No response")


def test_invalid_count_is_rejected(subtests: pytest.Subtests, client: FlaskClient) -> None:
    invalid: list[object] = [0, -1, 101, "x", [], {}, 1.5, "²"]
    for count in invalid:
        with subtests.test(count=count):
            assert client.post("/send-orders", json={"count": count}).status_code == 422


def test_form_keeps_the_duration_of_a_failure(client: FlaskClient) -> None:
    for mode, times, shown in (("ok", None, "1"), ("503", None, ""), ("503", 5, "5"), ("503", 4, "4")):
        set_mode(client, mode, times=times)
        page = BeautifulSoup(client.get("/").data, "html.parser")
        (selected,) = page.select("#times [selected]")
        assert selected["value"] == shown
