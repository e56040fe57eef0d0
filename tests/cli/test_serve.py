"""``flask serve`` starts and stops the web server, the deliverer and the worker together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import requests
from waitress.task import ThreadedTaskDispatcher

from app import web_server
from app.config import ROOT
from app.db import Database
from app.supervisor import GRACE_SECONDS
from tests.serving import free_port
from tests.waiting import wait_until

TIMEOUT_SECONDS = 60


class Serving:
    """A running ``flask serve``."""

    def __init__(self, instance: Path, env: dict[str, str], *, stderr: int | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "serve", "--port", str(self.port)],
            cwd=ROOT,
            env={**os.environ, "PO_INSTANCE": str(instance), **env},
            stderr=stderr,
            text=True,
        )

    def children(self) -> dict[int, str]:
        """The command lines of the child processes, by process id."""
        children = psutil.Process(self.process.pid).children()
        command_lines = {child.pid: " ".join(_command_line(child)) for child in children}
        return {pid: command_line for pid, command_line in command_lines.items() if command_line}

    def named(self, suffix: str) -> list[int]:
        return [pid for pid, command in self.children().items() if command.endswith(suffix)]

    def web(self) -> list[int]:
        """The process ids of the web processes."""
        return [
            pid for pid, command in self.children().items() if not command.endswith((" deliver", " work"))
        ]

    def is_up(self) -> bool:
        with suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        return False


def _command_line(process: psutil.Process) -> list[str]:
    """The command line; empty for a process that has ended or is a zombie."""
    with suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An instance folder with a database."""
    database = Database(f"sqlite:///{tmp_path}/po-confirm.sqlite")
    database.upgrade()
    database.engine.dispose()
    return tmp_path


@pytest.fixture
def serve(instance: Path) -> Iterator[Callable[..., Serving]]:
    """Starts ``flask serve``; stopped after the test."""
    started: list[Serving] = []

    def serve(**env: str) -> Serving:
        started.append(Serving(instance, env))
        wait_until(started[-1].is_up)
        return started[-1]

    yield serve
    for serving in started:
        serving.process.terminate()
        serving.process.wait(TIMEOUT_SECONDS)


def test_serve_restarts_a_killed_deliverer_and_leaves_no_process(serve: Callable[..., Serving]) -> None:
    serving = serve()
    # The web may respond before the others have their command lines.
    wait_until(lambda: serving.named(" deliver") and serving.named(" work"))
    (first,) = serving.named(" deliver")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: serving.named(" deliver") not in ([], [first]))
    assert serving.is_up()
    pids = list(serving.children())
    serving.process.terminate()
    assert serving.process.wait(TIMEOUT_SECONDS) == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not serving.is_up()


def test_serve_with_deliverer_and_worker_off_runs_only_web(serve: Callable[..., Serving]) -> None:
    serving = serve(PO_SERVE_DELIVERS="false", PO_SERVE_WORKS="false")
    assert list(serving.children()) == serving.web()


@pytest.mark.parametrize(
    ("database", "warning"),
    [
        ("sqlite:///{folder}/new.sqlite", "Warning: the database needs `flask init`."),
        ("postgresql+psycopg://127.0.0.1:1/none", "Warning: the database is not available: "),
    ],
)
def test_serve_without_a_usable_database_warns(tmp_path: Path, database: str, warning: str) -> None:
    only_web = {"PO_SERVE_DELIVERS": "false", "PO_SERVE_WORKS": "false"}
    url = database.format(folder=tmp_path)
    process = Serving(tmp_path, {"PO_DATABASE_URL": url, **only_web}, stderr=subprocess.PIPE).process
    assert process.stderr
    line = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=TIMEOUT_SECONDS)
    assert line.startswith(warning)


def test_serve_after_sigkill_leaves_no_children(serve: Callable[..., Serving]) -> None:
    serving = serve()
    pids = list(serving.children())
    assert len(pids) > 2
    serving.process.kill()
    serving.process.wait()
    wait_until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)])


def test_serve_when_a_web_process_dies_restarts_it(serve: Callable[..., Serving]) -> None:
    serving = serve(PO_SERVE_DELIVERS="false", PO_SERVE_WORKS="false")
    before = set(serving.children())
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(set(serving.children()) - before) == 1)
    assert serving.is_up()


def test_serve_on_a_taken_port_fails_with_one_line(serve: Callable[..., Serving], instance: Path) -> None:
    serving = serve()
    second = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "serve", "--port", str(serving.port)],
        cwd=ROOT,
        env={**os.environ, "PO_INSTANCE": str(instance)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.startswith("Error: Cannot listen on 127.0.0.1 port")
    assert second.stderr.count("\n") == 1
    assert serving.is_up()


SLOW_STARTS = {
    "silent": b"",
    "half a request line": b"POST /api/v0/purchase-or",
    "half the headers": b"GET /login HTTP/1.1\r\nHost: localhost\r\n",
    "half a body": b"POST /api/v0/purchase-order/req-send HTTP/1.1\r\nHost: localhost\r\n"
    b"webhook-signature: v1,a\r\nContent-Length: 1000\r\n\r\n{",
}


def test_serve_with_many_slow_connections_responds_as_usual(serve: Callable[..., Serving]) -> None:
    serving = serve()
    connections = []
    try:
        for start in SLOW_STARTS.values():
            for _ in range(200):
                connections.append(socket.create_connection(("127.0.0.1", serving.port)))
                connections[-1].sendall(start)
        for path in ("/healthz", "/readyz", "/login"):
            assert requests.get(serving.url + path, timeout=10).status_code == 200
    finally:
        for connection in connections:
            connection.close()


def test_serve_with_an_oversized_request_refuses_it_by_its_headers(serve: Callable[..., Serving]) -> None:
    serving = serve()
    for path, content_type in (
        ("/login", "text/plain"),
        ("/api/v0/purchase-order/req-send", "application/json"),
        ("/API", "application/json"),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as client:
            client.sendall(head.encode())
            response = b"".join(iter(partial(client.recv, 65536), b"")).decode()
        assert response.startswith("HTTP/1.1 413 "), path
        assert "max_body" not in response and "generated by" not in response
        assert f"Content-Type: {content_type}" in response
        is_page = content_type == "text/plain"
        assert ("The file or form is too large. Go back and send a smaller one." in response) == is_page


def test_serve_takes_messages_of_the_configured_size(serve: Callable[..., Serving]) -> None:
    url = serve(PO_MAX_BODY_BYTES="9000000").url + "/api/v0/purchase-order/req-send"
    assert requests.post(url, data=b"x" * 9_000_000, timeout=30).status_code == 401
    assert requests.post(url, data=b"x" * 9_000_001, timeout=30).status_code == 413


def test_health_check_goes_before_waiting_requests() -> None:
    dispatcher = ThreadedTaskDispatcher()
    server = object.__new__(web_server._Server)  # without a socket
    server.task_dispatcher = dispatcher
    for request in ({"path": "/orders"}, {"error": "bad request"}, {"path": "/healthz"}, {"path": "/login"}):
        server.add_task(SimpleNamespace(requests=[SimpleNamespace(**request)]))
    waiting = [vars(task.requests[0]) for task in dispatcher.queue]
    assert waiting == [
        {"path": "/healthz"},
        {"path": "/orders"},
        {"error": "bad request"},
        {"path": "/login"},
    ]


def test_serve_on_sigterm_finishes_requests_in_flight(serve: Callable[..., Serving]) -> None:
    serving = serve()
    with ThreadPoolExecutor() as pool:
        responses = [pool.submit(requests.get, serving.url + "/login", timeout=10) for _ in range(8)]
        wait_until(lambda: any(response.done() for response in responses))
        serving.process.terminate()
        assert serving.process.wait(TIMEOUT_SECONDS) == 0
        assert all(r.result().status_code == 200 for r in responses if not r.exception())


STOPPED_WHILE_STARTING = """
import os, signal, sys, threading, time
from app import supervisor

def slow_setsid():
    time.sleep(0.5)
    set_session()

set_session, os.setsid = os.setsid, slow_setsid
child = supervisor.Forked("child", lambda: time.sleep(60), restart=False)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
sys.exit(supervisor.supervise([child]))
"""


def test_child_stopped_while_starting_ends_in_time() -> None:
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", STOPPED_WHILE_STARTING], cwd=ROOT, timeout=TIMEOUT_SECONDS, check=True
    )
    assert time.monotonic() - started < GRACE_SECONDS
