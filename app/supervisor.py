"""Runs child processes together: starts, watches, restarts and stops them."""

from __future__ import annotations

import ctypes
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
"""How long children may take to finish their current work before they are killed."""
RESTART_SECONDS = 1.0
POLL_SECONDS = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command:
    """A child process that runs a command. With ``restart`` it is restarted when it ends."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], *, restart: bool) -> None:
        self.name = name
        self.restart = restart
        self._command = list(command)
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in its own process group, so that Ctrl-C reaches it only through ``signal``."""
        self._process = subprocess.Popen(  # noqa: S603
            self._command,
            env=self._env,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - the supervisor has no threads
        )

    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        """Send a signal if it is running."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Wait until it ends; after ``seconds`` kill it and its process group."""
        if not self._process:
            return
        try:
            self._process.wait(max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in time; killing it", self.name)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Forked:
    """A child process that calls a function, with everything already imported, which saves a second.

    With ``restart`` it is restarted when it ends. Start it before any thread runs or any database
    connection is open.
    """

    def __init__(self, name: str, run: Callable[[], None], *, restart: bool) -> None:
        self.name = name
        self.restart = restart
        self._run = run
        self._fork: BaseProcess | None = None

    def start(self) -> None:
        """Start it in its own process group."""
        self._fork = _fork.Process(target=_run_detached, args=(self._run,), name=self.name)
        # Until the child resets its handlers, a signal would run the inherited ones and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._fork.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._fork.exitcode if self._fork else None

    def signal(self, number: int) -> None:
        """Send a signal if it is running."""
        if self._fork and self._fork.pid and self._fork.is_alive():
            os.kill(self._fork.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait until it ends; after ``seconds`` kill it and its process group."""
        if not self._fork or not self._fork.pid:
            return
        self._fork.join(max(seconds, 0.1))
        if self._fork.is_alive():
            log.warning("%s did not stop in time; killing it", self.name)
            os.killpg(self._fork.pid, signal.SIGKILL)
            self._fork.join()


Child = Command | Forked

_fork = multiprocessing.get_context("fork")

_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """On Linux, ask the kernel to send SIGTERM to this process when the supervisor dies for any reason."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _run_detached(run: Callable[[], None]) -> None:
    """Run like a new process: own session, default signal handlers and an empty context."""
    os.setsid()
    _end_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    Context().run(run)


def flask_command(*arguments: str) -> list[str]:
    """The command line of a ``flask`` command of this app."""
    return [sys.executable, "-m", "flask", "--app", "app", *arguments]


def supervise(children: Sequence[Child], *, announce: Callable[[], bool] = lambda: True) -> int:
    """Run the children until Ctrl-C or SIGTERM, or until one without ``restart`` ends; then stop all.

    Once they are started, ``announce`` is called repeatedly until it returns True.
    Returns the exit code: 0 after a signal, otherwise that of the child that ended.
    """
    stop = threading.Event()

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, set_stop) for number in STOP_SIGNALS}
    try:
        for child in children:
            child.start()
        return _watch(children, stop, announce)
    finally:
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for child in children:
            child.wait(deadline - time.monotonic())
        for number, handler in previous.items():
            signal.signal(number, handler)


def _watch(children: Sequence[Child], stop: threading.Event, announce: Callable[[], bool]) -> int:
    is_announced = False
    while not stop.wait(POLL_SECONDS):
        is_announced = is_announced or announce()
        for child in children:
            code = child.code()
            if code is None:
                continue
            if not child.restart:
                return code or 1
            log.warning("%s ended with code %s; restarting it", child.name, code)
            if stop.wait(RESTART_SECONDS):
                return 0
            child.start()
    return 0
