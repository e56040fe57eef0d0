"""Requests to the partner simulator."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.network.reader import dumps, read_json

PATH = "/api/v0/purchase-order/req-confirm"


def confirmation(
    object_id: str = "PORwdFcAefAZhnM6Jy8c1rihtYlKNxHddmQ",
    version: int = 1,
    response: str = "ACCEPT",
    remarks: str = "Confirmed",
    new_status: str = "ACCEPTED",
) -> dict[str, Any]:
    """A valid `req-confirm` body; arguments replace its values."""
    return {
        "device": {"tag": {"name": "GEOCODE", "value": "18.5204,73.8567"}},
        "b2bIds": {"buyerB2BId": "BUY0005@bbps", "supplierB2BId": "SUPPB2B0001@bbps"},
        "poConfirmation": {
            "objectId": object_id,
            "buyerPONumber": "MAL/2611/45007",
            "supplierResponse": response,
            "supplierRemarks": remarks,
            "objectVersion": {"currentVersion": version, "newVersion": version},
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": new_status},
        },
        "additionalInfos": [],
    }


def confirm(client: FlaskClient, message: object, key: str = "msg_1", **headers: str) -> TestResponse:
    """POST a `req-confirm`."""
    body = message if isinstance(message, bytes) else dumps(message)
    return client.post(
        PATH, data=body, content_type="application/json", headers={"Idempotency-Key": key, **headers}
    )


def set_mode(client: FlaskClient, mode: str, **more: object) -> None:
    """Set how the simulator treats the next responses."""
    assert client.post("/behaviour", json={"mode": mode, **more}).status_code == 200


def received(client: FlaskClient, **query: str) -> list[dict[str, Any]]:
    """The requests that the simulator received, oldest first."""
    listed = read_json(client.get("/received.json", query_string=query).data, max_bytes=10**8)
    assert listed["count"] == len(listed["received"])
    exchanges: list[dict[str, Any]] = listed["received"]
    return exchanges


def resp(response: TestResponse) -> dict[str, Any]:
    """``payload.resp`` of a reply."""
    payload: dict[str, Any] = response.get_json()["payload"]["resp"]
    return payload
