"""A real Chromium and the app on a real socket, with a delivery worker."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, expect

from app.db import Database
from app.delivery.worker import DeliveryWorker
from tests.people import PASSWORD
from tests.serving import served

# A page on a busy machine may need some seconds; a wait ends as soon as its condition holds.
expect.set_options(timeout=30_000)

# Many short pages: optimizing their scripts and a process for drawing cost more CPU than they save.
CHROMIUM_FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--in-process-gpu",
    "--js-flags=--no-opt,--single-threaded-gc",
    "--no-first-run",
]


NOT_FAULTS = ("tatus of 4", "Status Error Code 4", "htmx:sendAbort", "htmx:afterRequest")
"""What the console logs although all is well: a 4xx response, and a request that a newer one replaced.

htmx logs ``htmx:afterRequest`` only together with the event that names the cause.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a failed browser test a second time and name it in the summary: a browser may lose a race."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def database_url(tmp_path: Path, empty_sqlite: Path) -> str:
    """Browser tests run on SQLite only: pages do not depend on the kind of database."""
    path = tmp_path / "po-confirm.sqlite"
    shutil.copy(empty_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def partner_deadline() -> float:
    """Seconds that the partner has for a response: many, because the browser keeps the machine busy."""
    return 20.0


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """The system's Chromium; the headless shell is preferred because it is faster."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert path, "no Chromium on this machine: run `sh tests/system-packages.sh chromium`"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {"executable_path": path, "args": [*CHROMIUM_FLAGS, *sandbox]}


@pytest.fixture
def site(app: Flask, database: Database) -> Iterator[str]:
    """The app's base URL; a delivery worker runs too."""
    stop = threading.Event()
    delivering = threading.Thread(target=DeliveryWorker(database, senders=2).run, args=(stop,), daemon=True)
    delivering.start()
    with served(app) as url:
        yield url
        stop.set()
        delivering.join()


@pytest.fixture
def faults(context: BrowserContext) -> Iterator[list[str]]:
    """Errors that the browser reported; any fails the test."""
    seen: list[str] = []
    context.on("weberror", lambda error: seen.append(str(error.error)))
    context.on("console", lambda line: seen.append(line.text) if line.type == "error" else None)
    yield seen
    assert not [fault for fault in seen if not any(words in fault for words in NOT_FAULTS)]


@pytest.fixture
def sign_in(page: Page, site: str, faults: list[str]) -> Callable[[str], None]:
    """Sign in as a user through the form."""

    def sign_in(name: str) -> None:
        page.goto(f"{site}/login")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/login" not in url)

    return sign_in
