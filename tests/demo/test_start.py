"""``flask demo``, which ``make run`` starts: every process starts and stops."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.config import ROOT
from tests.waiting import wait_until


def free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


class Demo:
    """A running demo in its own process group."""

    def __init__(self, instance: Path, port: int, partner_port: int, *options: str) -> None:
        self.url, self.partner_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{partner_port}"
        self.log = instance.parent / f"{instance.name}.log"
        env = {name: value for name, value in os.environ.items() if not name.startswith("PO_")}
        env |= {"PO_INSTANCE": str(instance), "PORT": str(port), "PARTNER_PORT": str(partner_port)}
        env |= {"PO_UNDO_SECONDS": "0", "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", "app", "demo", *options],
                cwd=ROOT,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Wait until the addresses are printed; from then on they respond."""
        until = time.monotonic() + 60
        while f"PO Confirm: {self.url}" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)
        for url in (f"{self.url}/readyz", f"{self.partner_url}/received.json"):
            assert requests.get(url, timeout=20).ok

    def stop(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    return tmp_path / "instance"


@pytest.fixture
def demo(instance: Path) -> Iterator[Demo]:
    demo = Demo(instance, *free_ports())
    demo.wait_until_up()
    yield demo
    demo.stop()


def sign_in(demo: Demo, name: str, password: str) -> requests.Session:
    session = requests.Session()
    page = session.get(f"{demo.url}/login", timeout=10)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token
    fields = {"csrf_token": token[1], "username": name, "password": password}
    response = session.post(f"{demo.url}/login", data=fields, timeout=10)
    assert response.ok and "/login" not in response.url
    return session


def test_demo_starts_with_example_data_and_no_traffic_and_stops_at_ctrl_c(demo: Demo, instance: Path) -> None:
    lines = re.findall(r"^sign in: (\w+) / (\S+) \((\w+)\)$", demo.log.read_text(), re.MULTILINE)
    assert [(name, role) for name, _, role in lines] == [
        ("asha", "supplier"),
        ("omar", "supplier"),
        ("meera", "manager"),
        ("ravi", "support"),
        ("admin", "admin"),
    ]
    assert (instance / "demo-password").stat().st_mode & 0o777 == 0o600
    assert requests.get(f"{demo.partner_url}/busy.json", timeout=10).json()["on"] is False
    assert requests.get(f"{demo.partner_url}/orders.json", timeout=10).json()["count"] == 60
    asha = sign_in(demo, *lines[0][:2])
    order_id = re.search(r'href="/orders/(\d+)[?"]', asha.get(f"{demo.url}/orders", timeout=10).text)
    assert order_id
    url = f"{demo.url}/orders/{order_id[1]}/answer"
    form = asha.get(url, timeout=10).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    assert token
    fields = {
        "csrf_token": token[1],
        "version": "1",
        "supplier_response": "ACCEPT",
        "supplier_remarks": "Confirmed",
    }
    assert asha.post(url, data=fields, timeout=10).ok
    wait_until(lambda: requests.get(f"{demo.partner_url}/received.json", timeout=10).json()["count"])
    page = asha.get(f"{demo.url}/orders/{order_id[1]}", timeout=10).text
    assert "Assigned to" in asha.get(f"{demo.url}/orders", timeout=10).text
    link = re.search(rf'href="({demo.partner_url}/received/msg_\w+)"', page)
    assert link and requests.get(link[1], timeout=10).ok

    sent = requests.post(f"{demo.partner_url}/send-orders", json={"count": 2}, timeout=30).json()
    assert sent["accepted"] == 2

    assert demo.stop() == 0
    for address in (demo.url, demo.partner_url):
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=5)

    again = Demo(instance, *free_ports())
    try:
        again.wait_until_up()
        asha = sign_in(again, *lines[0][:2])
        data = asha.get(f"{again.url}/orders/{order_id[1]}.json", timeout=10).json()
        assert (data["answer"], data["delivery"]) == ("ACCEPT", "delivered")
        # The simulator still has the message: the link on the page opens it.
        message = link[1].rpartition("/")[2]
        assert requests.get(f"{again.partner_url}/received/{message}", timeout=10).ok
        listed = requests.get(f"{again.partner_url}/received.json", timeout=10).json()["received"]
        assert [request["idempotency_key"] for request in listed] == [message]
    finally:
        assert again.stop() == 0


def test_demo_with_traffic_sends_and_stops_with_the_demo(instance: Path) -> None:
    demo = Demo(instance, *free_ports(), "--busy")
    try:
        demo.wait_until_up()
        assert requests.get(f"{demo.partner_url}/busy.json", timeout=10).json()["on"] is True
        requests.post(f"{demo.partner_url}/busy", json={"on": True, "seconds": 1}, timeout=10)
        wait_until(lambda: requests.get(f"{demo.partner_url}/busy.json", timeout=10).json()["sent"])
    finally:
        assert demo.stop() == 0
    assert "Traceback" not in demo.log.read_text()


def test_port_in_use_is_one_clear_line(instance: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo = Demo(instance, int(taken.getsockname()[1]), free_ports()[0])
        assert demo.process.wait(60) == 1
    assert "is in use" in demo.log.read_text()
    assert "Traceback" not in demo.log.read_text()
