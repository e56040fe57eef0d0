"""``flask serve``: web, deliverer and worker come up together, and go together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from app.cli.supervisor import GRACE_SECONDS
from app.config import ROOT
from app.db import Database
from tests.bench.ground import free_port

PATIENCE_SECONDS = 60


class Serving:
    """A ``flask serve`` and its children."""

    def __init__(self, instance: Path, **env: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PO_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", "serve", "--port", str(port)],
            cwd=ROOT,
            env={**inherited, "PO_INSTANCE": str(instance), **env},
        )

    def children(self) -> dict[int, str]:
        """The command lines of the child processes, by process id."""
        children = psutil.Process(self.process.pid).children()
        command_lines = {child.pid: " ".join(_command_line(child)) for child in children}
        return {pid: command_line for pid, command_line in command_lines.items() if command_line}

    def named(self, words: str) -> list[int]:
        return [pid for pid, command in self.children().items() if command.endswith(words)]

    def web(self) -> int:
        """The process id of the web server; its title depends on whether setproctitle is installed."""
        (pid,) = [
            pid for pid, command in self.children().items() if not command.endswith((" deliver", " work"))
        ]
        return pid

    def is_up(self) -> bool:
        with suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        return False


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def _command_line(process: psutil.Process) -> list[str]:
    """The command line; empty for a process that has ended or is a zombie."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """One with a database."""
    database = Database(f"sqlite:///{tmp_path}/po-confirm.sqlite")
    database.upgrade()
    database.engine.dispose()
    return tmp_path


@pytest.fixture
def serve(instance: Path) -> Iterator[Callable[..., Serving]]:
    """Starts one; it and its children are gone after the test."""
    started: list[Serving] = []

    def serve(**env: str) -> Serving:
        started.append(Serving(instance, **env))
        wait_until(started[-1].is_up)
        return started[-1]

    yield serve
    for one in started:
        one.process.terminate()
        one.process.wait(PATIENCE_SECONDS)


def test_it_serves_and_delivers_starts_a_lost_deliverer_again_and_leaves_nothing_behind(
    serve: Callable[..., Serving],
) -> None:
    serving = serve()
    (first,) = serving.named(" deliver")
    assert serving.named(" work")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: serving.named(" deliver") not in ([], [first]))
    assert serving.is_up()
    pids = list(serving.children())
    serving.process.terminate()
    assert serving.process.wait(PATIENCE_SECONDS) == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not serving.is_up()


def test_where_others_deliver_and_work_it_only_serves(serve: Callable[..., Serving]) -> None:
    serving = serve(PO_SERVE_DELIVERS="false", PO_SERVE_WORKS="false")
    assert list(serving.children()) == [serving.web()]


def test_without_its_pages_it_ends_and_says_so_by_its_code(serve: Callable[..., Serving]) -> None:
    serving = serve()
    pids = list(serving.children())
    os.kill(serving.web(), signal.SIGKILL)
    assert serving.process.wait(PATIENCE_SECONDS) != 0
    wait_until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)])


STOPPED_AT_ONCE = """
import os, signal, sys, threading, time
from app.cli import supervisor

def in_a_while():
    time.sleep(0.5)
    set_session()

set_session, os.setsid = os.setsid, in_a_while
child = supervisor.Forked("child", lambda: time.sleep(60), kept=False)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
sys.exit(supervisor.run_together([child]))
"""


def test_whoever_is_stopped_while_it_starts_does_not_outlive_that() -> None:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", STOPPED_AT_ONCE], cwd=ROOT, timeout=PATIENCE_SECONDS, check=True)
    assert time.monotonic() - started < GRACE_SECONDS
