"""The simulator sends follow-ups of an order on request, and keeps their results."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import html5lib
import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from app.demo.orders import ORDERS_FILE
from app.demo.simulator import create_simulator
from app.demo.state import SimulatorState
from app.demo.traffic import SECONDS_MAX, SECONDS_MIN, TrafficGenerator
from app.network.messages import parse
from app.network.reader import dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import ErrorCode, Kind, Status
from tests.demo.client import confirm, confirmation, received, resp, set_mode
from tests.serving import served
from tests.waiting import wait_until

pytestmark = pytest.mark.sqlite

FIRST, SECOND = (read_json(line) for line in ORDERS_FILE.read_bytes().splitlines()[:2])
FIRST_ID, SECOND_ID = (order["purchaseOrder"]["objectId"] for order in (FIRST, SECOND))
BROWSER = {"Accept": "text/html,*/*;q=0.8"}
numbers = itertools.count(1)


class Product:
    """A stub of PO Confirm that stores received messages and rejects the kinds in ``refuses``."""

    def __init__(self) -> None:
        self.app = Flask("product")
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.refuses: set[str] = set()
        self.app.add_url_rule("/api/v0/purchase-order/<name>", view_func=self.receive, methods=["POST"])

    def receive(self, name: str) -> tuple[bytes, int]:
        body = read_json(request.get_data())
        parse(Kind(name), body)
        assert request.headers["X-Partner-Key"] == "inbound-secret"
        self.received.append((name, body))
        if name in self.refuses:
            reply = build_reply(
                Kind(name), body, req_msg_id="in_1", code=ErrorCode.STALE_VERSION, detail="Too old."
            )
            return dumps(reply), 409
        return dumps(build_reply(Kind(name), body, req_msg_id="in_1")), 200


@pytest.fixture
def product() -> Product:
    return Product()


@pytest.fixture
def simulator(product: Product) -> Iterator[Flask]:
    """A simulator that sent two orders."""
    with served(product.app) as url:
        yield create_simulator(send_to=url, inbound_key="inbound-secret", orders=[FIRST, SECOND])


def orders(client: FlaskClient) -> dict[str, dict[str, Any]]:
    return {order["objectId"]: order for order in client.get("/orders.json").get_json()["orders"]}


def send_response(client: FlaskClient, object_id: str = FIRST_ID, **more: Any) -> str:
    """Send a response that is accepted; returns its reqMsgId."""
    key = f"msg_{next(numbers)}"
    response = confirm(client, confirmation(object_id=object_id, **more), key)
    assert response.status_code == 200, response.text
    req_msg_id: str = resp(response)["reqMsgId"]
    return req_msg_id


# Edits


def test_edit_of_a_known_order_is_its_next_version(client: FlaskClient, product: Product) -> None:
    result = client.post("/send-edit", json={"object_id": FIRST_ID, "change": "quantity"}).get_json()
    assert result["message"] == "req-edit"
    assert (result["objectId"], result["version"], result["status"], result["accepted"]) == (
        FIRST_ID,
        2,
        200,
        True,
    )
    again = client.post("/send-edit", data={"object_id": FIRST_ID, "change": "lines"}).get_json()
    assert again["version"] == 3
    [(_, first), (_, second)] = product.received
    assert first["purchaseOrder"]["objectVersion"] == {"currentVersion": 1, "newVersion": 2}
    assert second["purchaseOrder"]["objectVersion"] == {"currentVersion": 2, "newVersion": 3}
    assert orders(client)[FIRST_ID]["version"] == 3


def test_edit_without_an_order_edits_the_newest(client: FlaskClient) -> None:
    assert client.post("/send-edit").get_json()["objectId"] == SECOND_ID


def test_refused_edit_changes_nothing(client: FlaskClient, product: Product) -> None:
    product.refuses = {"req-edit"}
    result = client.post("/send-edit", json={"object_id": FIRST_ID}).get_json()
    assert (result["status"], result["accepted"]) == (409, False)
    assert result["answer"]["payload"]["resp"]["errorDtl"] == "Too old."
    assert orders(client)[FIRST_ID]["version"] == 1


def test_edit_reopens_an_order_with_a_response(client: FlaskClient) -> None:
    send_response(client)
    assert orders(client)[FIRST_ID]["status"] == "ACCEPTED"
    client.post("/send-edit", json={"object_id": FIRST_ID})
    assert orders(client)[FIRST_ID]["status"] == "CREATED"
    send_response(client, version=2)
    assert orders(client)[FIRST_ID]["status"] == "ACCEPTED"


def test_response_to_an_older_version_is_stale(client: FlaskClient) -> None:
    client.post("/send-edit", json={"object_id": FIRST_ID})
    response = confirm(client, confirmation(object_id=FIRST_ID, version=1))
    assert (response.status_code, resp(response)["errorCd"]) == (409, "PO_STALE_VERSION")
    assert resp(response)["errorField"] == "poConfirmation.objectVersion.currentVersion"


def test_response_received_before_the_edit_may_be_repeated(client: FlaskClient) -> None:
    first = confirm(client, confirmation(object_id=FIRST_ID))
    client.post("/send-edit", json={"object_id": FIRST_ID})
    assert confirm(client, confirmation(object_id=FIRST_ID)).data == first.data
    assert orders(client)[FIRST_ID]["status"] == "CREATED"


def test_response_to_an_unknown_version_updates_the_version(client: FlaskClient, product: Product) -> None:
    send_response(client, version=4)
    client.post("/send-edit", json={"object_id": FIRST_ID})
    assert product.received[-1][1]["purchaseOrder"]["objectVersion"] == {"currentVersion": 4, "newVersion": 5}


# Status changes


def test_canceled_order_accepts_no_response(client: FlaskClient) -> None:
    result = client.post("/send-status-change", json={"object_id": FIRST_ID, "remarks": "Fire"}).get_json()
    assert (result["message"], result["accepted"], result["version"]) == ("req-status-change", True, 1)
    assert orders(client)[FIRST_ID]["status"] == "CANCELLED"
    response = confirm(client, confirmation(object_id=FIRST_ID))
    assert (response.status_code, resp(response)["errorCd"]) == (409, "PO_TRANSITION")


def test_closing_without_an_order_closes_the_newest_accepted_one(
    client: FlaskClient, product: Product
) -> None:
    nothing = client.post("/send-status-change", json={"action": "CLOSE"})
    assert nothing.status_code == 404
    assert "closed" in nothing.get_json()["error"]
    send_response(client)
    result = client.post("/send-status-change", json={"action": "close"}).get_json()
    assert result["objectId"] == FIRST_ID
    sent = product.received[-1][1]["poStatus"]
    assert sent["poStatusTransition"] == {"currentStatus": "ACCEPTED", "newStatus": "CLOSED"}


def test_forbidden_status_change_by_name_changes_nothing_if_refused(
    client: FlaskClient, product: Product
) -> None:
    product.refuses = {"req-status-change"}
    result = client.post("/send-status-change", json={"object_id": FIRST_ID, "action": "CLOSE"}).get_json()
    assert result["accepted"] is False
    assert orders(client)[FIRST_ID]["status"] == "CREATED"


# Late results


@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE"])
def test_late_result_has_the_returned_id(client: FlaskClient, product: Product, result: str) -> None:
    req_msg_id = send_response(client)
    report = client.post("/send-result", json={"object_id": FIRST_ID, "result": result}).get_json()
    assert (report["message"], report["accepted"]) == ("resp-confirm", True)
    sent = product.received[-1][1]
    assert (sent["resp"]["reqMsgId"], sent["resp"]["result"]) == (req_msg_id, result)
    assert sent["poConfirmation"]["objectId"] == FIRST_ID
    assert orders(client)[FIRST_ID]["result"] == result


def test_response_after_a_late_failure_gets_a_new_id(client: FlaskClient, product: Product) -> None:
    first = send_response(client)
    refused = confirm(client, confirmation(object_id=FIRST_ID, response="REJECT", new_status="REJECTED"), "x")
    assert refused.status_code == 409
    client.post("/send-result", json={"object_id": FIRST_ID, "result": "FAILURE"})
    assert orders(client)[FIRST_ID]["status"] == "CREATED"
    second = confirm(client, confirmation(object_id=FIRST_ID), "msg_second")
    assert second.status_code == 200
    assert resp(second)["reqMsgId"] != first
    client.post("/send-result", json={"object_id": FIRST_ID, "result": "FAILURE"})
    assert product.received[-1][1]["resp"]["reqMsgId"] == resp(second)["reqMsgId"]


def test_response_that_failed_late_is_not_accepted_under_its_old_key(client: FlaskClient) -> None:
    confirm(client, confirmation(object_id=FIRST_ID), "msg_1")
    client.post("/send-result", json={"result": "FAILURE"})
    assert confirm(client, confirmation(object_id=FIRST_ID), "msg_1").status_code == 409


def test_failure_that_was_not_received_can_be_sent_again(client: FlaskClient, product: Product) -> None:
    send_response(client)
    product.refuses = {"resp-confirm"}
    assert client.post("/send-result", json={"result": "FAILURE"}).get_json()["accepted"] is False
    product.refuses = set()
    result = client.post("/send-result", json={"object_id": FIRST_ID, "result": "FAILURE"}).get_json()
    assert result["accepted"] is True
    (_, first), (_, second) = product.received
    assert first == second


def test_failure_has_the_requested_code_and_text(client: FlaskClient, product: Product) -> None:
    send_response(client)
    words = {"error_cd": "BPR099", "error_dtl": "Too late", "error_field": "poConfirmation.objectId"}
    client.post("/send-result", json={"result": "failure", **words})
    fields = product.received[-1][1]["resp"]
    assert (fields["errorCd"], fields["errorDtl"], fields["errorField"]) == tuple(words.values())


def test_late_result_without_an_order_is_for_the_newest_response(client: FlaskClient) -> None:
    send_response(client, SECOND_ID)
    send_response(client, FIRST_ID)
    objects = [client.post("/send-result").get_json()["objectId"] for _ in range(3)]
    assert objects == [FIRST_ID, SECOND_ID, FIRST_ID]


# Invalid requests


def test_invalid_follow_up_is_rejected(subtests: pytest.Subtests, client: FlaskClient) -> None:
    for path, asked, status in (
        ("/send-edit", {"object_id": "POR0"}, 404),
        ("/send-status-change", {"object_id": "POR0"}, 404),
        ("/send-result", {}, 404),
        ("/send-result", {"object_id": FIRST_ID}, 404),
        ("/send-edit", {"change": "colour"}, 422),
        ("/send-status-change", {"action": "BURN"}, 422),
        ("/send-result", {"result": "MAYBE"}, 422),
        ("/send-status-change", {"remarks": "a\nb"}, 422),
        ("/send-edit", [], 422),
        ("/busy", {}, 422),
        ("/busy", {"on": True, "seconds": 0}, 422),
        ("/busy", {"on": True, "seconds": "soon"}, 422),
    ):
        with subtests.test(path=path):
            response = client.post(path, json=asked)
            assert response.status_code == status
            assert response.get_json()["error"]


@pytest.mark.parametrize("path", ["/send-edit", "/send-status-change", "/send-result", "/busy"])
def test_other_sites_send_nothing(client: FlaskClient, product: Product, path: str) -> None:
    response = client.post(path, data={"on": "1"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert product.received == []


def test_follow_up_without_a_running_app_changes_nothing() -> None:
    client = create_simulator(send_to="http://127.0.0.1:9", inbound_key="k", orders=[FIRST]).test_client()
    result = client.post("/send-edit").get_json()
    assert (result["status"], result["accepted"]) == (None, False)
    assert result["answer"].startswith("No response")
    assert orders(client)[FIRST_ID]["version"] == 1


def test_order_of_an_earlier_run_has_its_status() -> None:
    body = FIRST | {
        "purchaseOrder": FIRST["purchaseOrder"]
        | {
            "objectVersion": {"currentVersion": 2, "newVersion": 3},
            "poStatusTransition": {"currentStatus": "ACCEPTED", "newStatus": "ACCEPTED"},
        }
    }
    known = SimulatorState([body]).order(FIRST_ID)
    assert known
    assert (known.version, known.status) == (3, "ACCEPTED")


# Pages


def page(client: FlaskClient, url: str, status: int = 200) -> str:
    response = client.get(url, headers=BROWSER)
    assert response.status_code == status
    html5lib.HTMLParser(strict=True).parse(response.text)
    assert "<script" not in response.text
    assert "style=" not in response.text
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    return response.text


def test_message_page_is_found_by_its_key(client: FlaskClient) -> None:
    set_mode(client, "503", times=1)
    message = confirmation(object_id=FIRST_ID)
    confirm(client, message, "msg_01J/odd key")
    confirm(client, message, "msg_01J/odd key")
    shown = page(client, "/received/msg_01J%2Fodd%20key")
    assert "received 2 times" in shown
    assert "replied 503" in shown
    assert "replied 200" in shown
    assert "Idempotency-Key: msg_01J/odd key" in shown
    assert f'href="/orders/{FIRST_ID}"' in shown
    assert 'href="/received/msg_01J/odd%20key"' in page(client, "/")


def test_order_page_has_all_exchanges(client: FlaskClient) -> None:
    assert "sent before the simulator started" in page(client, f"/orders/{FIRST_ID}")
    send_response(client)
    client.post("/send-edit", json={"object_id": FIRST_ID, "change": "dates"})
    shown = page(client, f"/orders/{FIRST_ID}")
    assert "version 2" in shown
    assert "(moved)" in shown
    assert shown.index("Sent <code>") < shown.index("Received response"), "newest first"


@pytest.mark.parametrize("url", ["/received/msg_0", "/orders/POR0"])
def test_not_found_is_a_page_or_json(client: FlaskClient, url: str) -> None:
    assert "Page not found" in page(client, url, 404)
    assert client.get(url).get_json()["error"]


@pytest.mark.parametrize("before", ["/", f"/orders/{FIRST_ID}", "/received/msg_1"])
def test_browser_returns_to_the_page_of_the_button_with_the_result(client: FlaskClient, before: str) -> None:
    confirm(client, confirmation(object_id=FIRST_ID), "msg_1")
    headers = BROWSER | {"Referer": f"http://localhost{before}"}
    response = client.post("/send-edit", data={"object_id": FIRST_ID}, headers=headers)
    assert response.status_code == 303
    assert response.headers["Location"].startswith(f"{before}?message=")
    assert "PO Confirm accepted it." in " ".join(page(client, response.headers["Location"]).split())


@pytest.mark.parametrize("before", ["http://evil.example/orders/x", "http://localhost/behaviour", "", "//x"])
def test_browser_from_another_site_returns_to_the_first_page(client: FlaskClient, before: str) -> None:
    response = client.post("/send-edit", headers=BROWSER | {"Referer": before})
    assert response.headers["Location"].startswith("/?message=")


def test_refusal_shows_the_detail_of_the_app(client: FlaskClient, product: Product) -> None:
    product.refuses = {"req-edit"}
    response = client.post("/send-edit", headers=BROWSER)
    shown = " ".join(page(client, response.headers["Location"]).split())
    assert "rejected it with 409" in shown
    assert "Too old." in shown


def test_only_possible_updates_are_offered(client: FlaskClient) -> None:
    shown = page(client, f"/orders/{FIRST_ID}")
    assert 'value="CANCEL"' in shown
    assert 'value="CLOSE"' not in shown, "the order was not accepted"
    assert 'value="FAILURE"' not in shown, "the order has no response"
    send_response(client)
    shown = page(client, f"/orders/{FIRST_ID}")
    assert 'value="CLOSE"' in shown
    assert 'value="FAILURE"' in shown
    client.post("/send-status-change", json={"object_id": FIRST_ID})
    assert 'value="quantity"' not in page(client, f"/orders/{FIRST_ID}")


def test_every_response_mode_is_an_option_with_a_description(client: FlaskClient) -> None:
    document = html5lib.parse(client.get("/").text, namespaceHTMLElements=False)
    labels = [option.text for option in document.findall(".//optgroup/option")]
    assert len(labels) > 20
    assert labels == [term.text for term in document.findall(".//dl[@class='mode-list']/dt")]
    for description in document.findall(".//dl[@class='mode-list']/dd"):
        assert (description.text or "").endswith(".")


def test_first_page_with_hostile_data_is_valid_html(product: Product) -> None:
    hostile = FIRST | {
        "purchaseOrder": FIRST["purchaseOrder"]
        | {
            "objectId": '"><i>/../x',
            "buyerPONumber": "<b>1</b>",
            "subject": "</form>\u0001",
            "itemLists": [{"quantity": 1, "unit": "<u>"}],
            "poValueDetails": {"totalPOValue": "much"},
        }
    }
    with served(product.app) as url:
        client = create_simulator(send_to=url, inbound_key="inbound-secret", orders=[hostile]).test_client()
        confirm(client, confirmation(object_id='"><i>/../x', remarks="<s>&"), '"><s>')
        client.post("/send-edit", json={"change": "dates"})
        for url in ("/", "/orders/%22%3E%3Ci%3E/../x", "/received/%22%3E%3Cs%3E"):
            shown = page(client, url)
            assert "<b>1" not in shown
            assert "<i>" not in shown


# Traffic


def test_traffic_is_off_until_started_and_can_be_stopped(client: FlaskClient, product: Product) -> None:
    assert client.get("/busy.json").get_json()["on"] is False
    began = time.monotonic()
    assert client.post("/busy", json={"on": True, "seconds": 1}).get_json()["on"] is True
    wait_until(lambda: len(product.received) >= 2)
    assert time.monotonic() - began >= 2 * 0.5
    assert client.post("/busy", json={"on": False}).get_json()["on"] is False
    assert client.get("/busy.json").get_json()["sent"] == len(product.received)
    assert "traffic generator" not in {thread.name for thread in threading.enumerate()}


def test_traffic_interval_is_bounded(simulator: Flask) -> None:
    traffic: TrafficGenerator = simulator.extensions["traffic"]
    for seconds, bounded in ((0, SECONDS_MIN), (1e9, SECONDS_MAX)):
        traffic.start(seconds)
        traffic.stop()
        assert traffic.seconds == bounded
        assert 0.5 * bounded <= traffic._interval(0) <= 1.5 * bounded


def test_traffic_has_all_kinds_and_limits_open_orders(
    simulator: Flask, client: FlaskClient, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.demo.traffic.OPEN_ORDERS_MAX", 6)
    traffic: TrafficGenerator = simulator.extensions["traffic"]
    for _ in range(120):
        still_open = sum(order["status"] == Status.CREATED for order in orders(client).values())
        sent = traffic.send_one()
        assert sent.accepted, sent
        assert sent.kind is not Kind.REQ_SEND or still_open < 6
        for known in orders(client).values():
            if known["status"] == "CREATED" and known["version"] > 1:
                send_response(client, known["objectId"], version=known["version"])
    kinds = [name for name, _ in product.received]
    assert set(kinds) == {"req-send", "req-edit", "req-status-change", "resp-confirm"}
    assert kinds.count("req-send") >= 4


def test_traffic_slows_down_without_replies() -> None:
    simulator = create_simulator(send_to="http://127.0.0.1:9", inbound_key="k")
    traffic: TrafficGenerator = simulator.extensions["traffic"]
    assert traffic.send_one().status is None
    assert traffic._interval(0) < 31
    assert 100 < traffic._interval(8) < 451


def test_received_list_is_unchanged(client: FlaskClient) -> None:
    send_response(client)
    assert received(client, object_id=FIRST_ID)[0]["answer"]["status"] == 200
