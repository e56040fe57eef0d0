"""The main workflow from receipt to delivery, on both databases and over real sockets."""

from __future__ import annotations

from tests.buyer import Buyer
from tests.fixture_types import Deliver, MoveClock
from tests.people import Browser
from tests.serving import Network


def test_order_is_received_responded_to_and_delivered(
    buyer: Buyer,
    asha: Browser,
    meera: Browser,
    ravi: Browser,
    deliver: Deliver,
    network: Network,
    move_clock: MoveClock,
) -> None:
    # The order arrives and needs a response.
    assert buyer.send().get_json()["response_code"] == 0
    (link,) = {
        str(link["href"])
        for link in asha.get("/orders?answer=open").page.select("#orders-list a[href^='/orders/']")
        if link.get_text(strip=True) == "MAL/2611/45007"
    }
    order_id = int(link.partition("?")[0].rsplit("/", 1)[1])

    # She confirms while the partner is down.
    network.behave("503", times=1)
    assert asha.respond(order_id, remarks="Will ship on 4 December").status_code == 303
    assert deliver() == {"retried": 1}
    data = asha.get(f"/orders/{order_id}.json").get_json()
    assert (data["answer"], data["delivery"], data["status"]) == ("ACCEPT", "pending", "CREATED")

    # The automatic retry is refused.
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Remarks are not acceptable")
    move_clock(seconds=10)
    assert deliver() == {"refused": 1}
    message_id = asha.get(f"/orders/{order_id}.json").get_json()["decisions"][0]["message_id"]
    assert "Remarks are not acceptable" in meera.get(f"/webhooks/{message_id}").visible_text

    # Ravi resends the identical bytes.
    action = f"/webhooks/{message_id}/resend"
    fields = {**ravi.fill(f"/webhooks/{message_id}", action), "reason": "They relaxed the rule"}
    assert ravi.send(action, fields).status_code == 303
    assert deliver() == {"delivered": 1}
    data = meera.get(f"/webhooks/{message_id}.json").get_json()
    assert [(attempt["status"], attempt["trigger"], attempt["actor"]) for attempt in data["attempts"]] == [
        (503, "auto", None),
        (200, "auto", None),
        (200, "manual", "Ravi"),
    ]
    received = network.received()
    assert {request["idempotency_key"] for request in received} == {message_id}
    assert {request["raw"] for request in received} == {data["request"]["body"]}
    order = asha.get(f"/orders/{order_id}.json").get_json()
    assert (order["answer"], order["delivery"], order["status"]) == ("ACCEPT", "delivered", "ACCEPTED")
