"""Child processes: started together, watched, and stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from multiprocessing.process import BaseProcess
from types import FrameType

log = logging.getLogger(__name__)

GRACE_SECONDS = 25.0
"""How long children may take to finish what they have in hand; then they are killed."""
RESTART_SECONDS = 1.0
LOOK_SECONDS = 0.2
STOPPING = (signal.SIGINT, signal.SIGTERM)
"""What asks a process to stop."""


class Child:
    """One child process. One that is ``kept`` is started again when it dies."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], *, kept: bool) -> None:
        self.name = name
        self.kept = kept
        self._command = list(command)
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a group of its own, so that Ctrl-C reaches it by us and only once."""
        self._process = subprocess.Popen(self._command, env=self._env, start_new_session=True)  # noqa: S603

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        """Pass a signal on, if it runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Wait until it ended; after ``seconds`` it and its group are killed."""
        if not self._process:
            return
        try:
            self._process.wait(max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in time and is killed", self.name)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Forked(Child):
    """A child that goes on from here, with all that this process has loaded: a second sooner than from anew.

    Where it is started no thread may run and no database may be open.
    """

    def __init__(self, name: str, run: Callable[[], None], *, kept: bool) -> None:
        super().__init__(name, (), {}, kept=kept)
        self._run = run
        self._fork: BaseProcess | None = None

    def start(self) -> None:
        """Start it in a group of its own."""
        self._fork = _fork.Process(target=_by_itself, args=(self._run,), name=self.name)
        # Until it is by itself, a signal to it would be handled by what it has of our handlers, and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self._fork.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._fork.exitcode if self._fork else None

    def signal(self, number: int) -> None:
        """Pass a signal on, if it runs."""
        if self._fork and self._fork.pid and self._fork.is_alive():
            os.kill(self._fork.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait until it ended; after ``seconds`` it and its group are killed."""
        if not self._fork or not self._fork.pid:
            return
        self._fork.join(max(seconds, 0.1))
        if self._fork.is_alive():
            log.warning("%s did not stop in time and is killed", self.name)
            os.killpg(self._fork.pid, signal.SIGKILL)
            self._fork.join()


_fork = multiprocessing.get_context("fork")


def _by_itself(run: Callable[[], None]) -> None:
    """Run as a process of its own would: nothing of what the parent was just doing goes with it."""
    os.setsid()
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    Context().run(run)


def flask_command(*words: str) -> list[str]:
    """This very app's command line."""
    return [sys.executable, "-m", "flask", "--app", "app", *words]


def run_together(children: Sequence[Child]) -> int:
    """Run the children until Ctrl-C or SIGTERM, or until one that is not kept ends; then stop them all.

    Returns the exit code: 0 after a signal, else that of the child that ended.
    """
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, asked) for number in STOPPING}
    try:
        for child in children:
            child.start()
        return _watch(children, stop)
    finally:
        for child in children:
            child.signal(signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        for child in children:
            child.wait(until - time.monotonic())
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(children: Sequence[Child], stop: threading.Event) -> int:
    while not stop.wait(LOOK_SECONDS):
        for child in children:
            code = child.code()
            if code is None:
                continue
            if not child.kept:
                return code or 1
            log.warning("%s ended with code %s and is started again", child.name, code)
            if stop.wait(RESTART_SECONDS):
                return 0
            child.start()
    return 0
