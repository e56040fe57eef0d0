"""The state of the simulator after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.demo import storage
from app.demo.simulator import create_simulator
from tests.demo import client
from tests.demo.client import confirmation

pytestmark = pytest.mark.sqlite


class RunningSimulator:
    """A simulator from its start to its stop."""

    def __init__(self, path: Path, of: str = "this one") -> None:
        app = create_simulator(send_to="http://127.0.0.1:9", inbound_key="inbound-secret")
        self.state, self.client, self._path, self._of = app.extensions["state"], app.test_client(), path, of
        storage.load(self.state, path, of)

    def stop(self) -> None:
        storage.save(self.state, self._path, self._of)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo-received.jsonl"


def confirm(simulator: FlaskClient, message: object, key: str = "msg_1") -> dict[str, Any]:
    resp: dict[str, Any] = client.confirm(simulator, message, key).get_json()["payload"]["resp"]
    return resp


def test_exchanges_survive_a_restart(path: Path) -> None:
    first = RunningSimulator(path)
    taken = confirm(first.client, confirmation())
    confirm(first.client, b"\xff no JSON \0", key="msg_2")
    first.client.post("/send-result")
    assert [sent.status for sent in first.state.sent()] == [None]
    listed = first.client.get("/received.json").data
    first.stop()
    assert path.stat().st_mode & 0o777 == 0o600

    second = RunningSimulator(path)
    assert second.client.get("/received.json").data == listed
    assert second.state.sent() == first.state.sent()
    assert second.state.next_number() == 2
    again = confirm(second.client, confirmation())
    assert (again["result"], again["reqMsgId"]) == ("SUCCESS", taken["reqMsgId"])
    assert second.client.get("/received.json").get_json()["received"][-1]["repeat"] is True
    contrary = confirmation(response="REJECT", new_status="REJECTED", remarks="No")
    assert confirm(second.client, contrary, key="msg_3")["errorCd"] == "PO_CONFLICT"
    second.stop()
    assert len(RunningSimulator(path).state.exchanges()) == 4


def test_simulator_of_another_database_starts_empty(path: Path) -> None:
    first = RunningSimulator(path)
    confirm(first.client, confirmation())
    first.stop()
    assert RunningSimulator(path, of="another one").state.exchanges() == []
    assert len(RunningSimulator(path).state.exchanges()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\0\xff\n", b'{"of":"this one"}\n{"exchange":{}}\n[1]\n{"sent":7}\n{']
)
def test_damaged_file_does_not_prevent_a_start(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    simulator = RunningSimulator(path)
    assert simulator.state.exchanges() == []
    simulator.stop()
    assert path.read_bytes() == b'{"of":"this one"}\n'


def test_unreadable_line_does_not_affect_others(path: Path) -> None:
    first = RunningSimulator(path)
    confirm(first.client, confirmation())
    first.stop()
    path.write_bytes(path.read_bytes() + b'{"sent":{"kind":"unheard of"}}\n')
    assert len(RunningSimulator(path).state.exchanges()) == 1


def test_stored_exchanges_are_limited(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "NEWEST", 3)
    first = RunningSimulator(path)
    for number in range(5):
        confirm(first.client, confirmation(object_id=f"POR{number}"), key=f"msg_{number}")
    first.stop()
    assert [exchange.idempotency_key for exchange in RunningSimulator(path).state.exchanges()] == [
        "msg_2",
        "msg_3",
        "msg_4",
    ]
