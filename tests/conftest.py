"""Shared fixtures: both databases, the test users, a movable clock, a partner on a real socket."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask, Response
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import background, clock
from app.config import Settings
from app.db import Database, encryption
from app.delivery import service as delivery_service
from app.delivery.claiming import ClaimedMessage, claim
from app.delivery.models import Message
from app.delivery.recording import reclaim_expired
from app.delivery.worker import DeliveryWorker
from app.demo.orders import ORDERS_FILE
from app.inbound.file_import import ImportResult, import_body
from app.inbound.processing import Rules
from app.network.reader import dumps, read_json
from app.orders import decisions
from app.orders.models import PurchaseOrder
from app.orders.queries import order_for_update
from app.orders.req_confirm import DecisionInput
from app.partners import service as partner_service
from app.partners.models import Partner
from app.tasks.worker import Worker
from tests import people, shared
from tests.buyer import INBOUND_KEY, Buyer
from tests.delivery.attempts import finish
from tests.fixture_types import (
    Arrive,
    ChangePartner,
    ClaimOne,
    Confirm,
    ConfirmOrders,
    Deliver,
    DeliverWith,
    MoveClock,
    PausePartner,
    Reclaim,
    Resend,
    RunJobs,
)
from tests.postgresql import Server
from tests.serving import Network, served

# Settings of the developer's shell must not reach the tests.
for name in [name for name in os.environ if name.startswith("PO_")]:
    del os.environ[name]
ENCRYPTION_KEY = Fernet.generate_key().decode()
encryption.configure([ENCRYPTION_KEY])
_numbers = itertools.count(1)


def pytest_collection_finish() -> None:
    """Collect garbage less often: it took a sixth of the time of the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last: the browser stays open from its first test on and uses CPU."""
    items.sort(key=lambda item: "/browser/" in str(item.path))


@pytest.fixture(scope="session", autouse=True)
def shared_structures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Parse each structure of a page in one test process only."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        people.structures.folder = tmp_path_factory.getbasetemp().parent / "structures"
        people.structures.folder.mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One real PostgreSQL server for the whole run."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "empty.sqlite"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.writing() as session:
        people.add_users(session)
        session.commit()
    database.engine.dispose()
    return path


@pytest.fixture(scope="session")
def empty_postgresql(postgresql: Server) -> str:
    """A migrated PostgreSQL database that tests copy."""
    postgresql.execute("CREATE DATABASE empty")
    database = Database(postgresql.url("empty"))
    database.upgrade()
    with database.writing() as session:
        people.add_users(session)
        session.commit()
    database.engine.dispose()
    return "empty"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with a database on both kinds, or on the one that their mark names."""
    if "database_kind" in metafunc.fixturenames:
        kinds = ["sqlite", "postgresql"]
        marked = [kind for kind in kinds if metafunc.definition.get_closest_marker(kind)]
        metafunc.parametrize("database_kind", marked or kinds)


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database with the schema and the test users."""
    if database_kind == "sqlite":
        path = tmp_path / "po-confirm.sqlite"
        shutil.copy(request.getfixturevalue("empty_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: Server = request.getfixturevalue("postgresql")
    name = f"test_{next(_numbers)}"
    server.copy(request.getfixturevalue("empty_postgresql"), name)
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """The settings of the app under test, without file and environment."""
    return Settings.load(instance=tmp_path, database_url=database_url, secret_key="only for these tests")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The app on a new database."""
    app = shared.make_app(settings)
    yield app
    app.extensions["database"].engine.dispose()


@pytest.fixture
def database(app: Flask) -> Database:
    """The app's database."""
    database: Database = app.extensions["database"]
    return database


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session for the test's own reads."""
    with database.reading() as session:
        yield session


@pytest.fixture
def browser_of(app: Flask, database: Database) -> Callable[[str], people.Browser]:
    """A browser signed in as a named user; ``anonymous`` is not signed in."""

    def browser_of(name: str) -> people.Browser:
        browser = people.Browser(app, people.ParsedResponse)
        if name != "anonymous":
            people.sign_in(browser, database, name)
        return browser

    return browser_of


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record the context of rendered pages, newest last, instead of rendering them."""
    contexts: list[dict[str, Any]] = []

    def page(template: str, fragment: str | None = None, *, status: int = 200, **context: Any) -> Response:
        contexts.append({"template": template, "fragment": fragment, **context})
        return Response("", status)

    monkeypatch.setattr("app.ui.web.page", page)
    return contexts


@pytest.fixture
def asha(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """Supplier staff with both supplier ids."""
    return browser_of("asha")


@pytest.fixture
def omar(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """Supplier staff of Triveni Bearings only."""
    return browser_of("omar")


@pytest.fixture
def meera(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """The manager."""
    return browser_of("meera")


@pytest.fixture
def ravi(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """Support."""
    return browser_of("ravi")


@pytest.fixture
def admin(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """The administrator."""
    return browser_of("admin")


@pytest.fixture
def anonymous(browser_of: Callable[[str], people.Browser]) -> people.Browser:
    """Not signed in."""
    return browser_of("anonymous")


@pytest.fixture
def move_clock() -> Iterator[MoveClock]:
    """Move the app's clock forward by a ``timedelta`` of these arguments; reset after the test."""

    def move(**by: float) -> None:
        clock.set_offset(clock.offset() + timedelta(**by))

    yield move
    clock.set_offset(timedelta(0))


@pytest.fixture
def network() -> Iterator[Network]:
    """A partner simulator without faults and without data."""
    with served(shared.make_simulator(INBOUND_KEY)) as url:
        yield Network(url)


@pytest.fixture
def partner_deadline() -> float:
    """Seconds that the partner has for a response: few, because some tests wait for the end."""
    return 1.0


@pytest.fixture
def partner(database: Database, network: Network, partner_deadline: float) -> Partner:
    """The partner of the simulator, with a short timeout."""
    with database.writing() as session:
        partner, _ = partner_service.add(
            session,
            "Bharat Connect",
            base_url=network.url,
            allow_addresses=["127.0.0.0/8"],
            headers=[("X-Api-Key", "a-secret-of-ours")],
            inbound_key=INBOUND_KEY,
            deadline_seconds=partner_deadline,
        )
        session.commit()
    return partner


@pytest.fixture(scope="session")
def example_bodies() -> list[dict[str, Any]]:
    """The 60 example `req-send` bodies, amounts exact."""
    return [read_json(line) for line in ORDERS_FILE.read_bytes().splitlines()]


@pytest.fixture
def buyer(app: Flask, partner: Partner, example_bodies: list[dict[str, Any]]) -> Buyer:
    """The buyer's system."""
    return Buyer(app.test_client(), example_bodies)


@pytest.fixture
def change_partner(database: Database, partner: Partner) -> ChangePartner:
    """Set these columns of the partner."""

    def change_partner(**values: Any) -> None:
        with database.writing() as session:
            session.execute(update(Partner).where(Partner.id == partner.id).values(**values))
            session.commit()

    return change_partner


@pytest.fixture
def pause_partner(database: Database, partner: Partner) -> PausePartner:
    """Pause the partner in Ravi's name."""

    def pause_partner(reason: str = "Wait") -> None:
        with database.writing() as session:
            partner_service.pause(session, session.get_one(Partner, partner.id), reason, by="Ravi")
            session.commit()

    return pause_partner


@pytest.fixture
def arrive(database: Database, partner: Partner, example_bodies: list[dict[str, Any]]) -> Arrive:
    """Receive the first ``count`` example orders, and return their ids in order."""

    def arrive(count: int = 1) -> list[int]:
        rules, result = Rules(1024 * 1024, timedelta(hours=24)), ImportResult()
        with database.writing() as session:
            for body in example_bodies[:count]:
                import_body(session, partner.id, dumps(body), location="test", rules=rules, result=result)
            session.commit()
            assert not result.errors
            by_object = dict(session.execute(select(PurchaseOrder.object_id, PurchaseOrder.id)).all())
        return [by_object[body["purchaseOrder"]["objectId"]] for body in example_bodies[:count]]

    return arrive


@pytest.fixture
def order_id(arrive: Arrive) -> int:
    """The first example order, just received."""
    return arrive(1)[0]


@pytest.fixture
def deliver(database: Database) -> Deliver:
    """Deliver all due webhooks, as ``flask deliver --once`` does."""
    return lambda: DeliveryWorker(database, senders=4).drain()


@pytest.fixture
def confirm(database: Database) -> Confirm:
    """Confirm an order in Asha's name, or respond in another way, and return the message's id."""

    def confirm(
        order_id: int, response: str = "ACCEPT", remarks: str = "Confirmed", version: int | None = None
    ) -> str:
        with database.writing() as session:
            order = order_for_update(session, None, order_id)
            assert order
            if response == "RETURN":
                order.partner.accepts_return = True
            decision_input = DecisionInput(response, remarks, "INITIATING_CHANNEL", "WEB")
            decision = decisions.respond(
                session,
                order,
                decision_input,
                version=order.version if version is None else version,
                by=people.ASHA,
            )
            session.commit()
            return decision.message_id

    return confirm


@pytest.fixture
def confirm_orders(arrive: Arrive, confirm: Confirm) -> ConfirmOrders:
    """Confirm the first ``count`` example orders, and return the ids of the queued webhooks."""
    return lambda count: [confirm(order_id) for order_id in arrive(count)]


@pytest.fixture
def message_id(confirm: Confirm, order_id: int) -> str:
    """A webhook that is queued: it confirms the first example order."""
    return confirm(order_id)


@pytest.fixture
def refused(order_id: int, confirm: Confirm, deliver: Deliver, network: Network) -> str:
    """A webhook that the partner refused because of its remarks."""
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Remarks are not acceptable")
    message_id = confirm(order_id, remarks="Confirmed at once")
    deliver()
    return message_id


@pytest.fixture
def resend(database: Database) -> Resend:
    """Request another attempt of a webhook in Ravi's name."""

    def resend(message_id: str, reason: str = "Fixed", *, include_delivered: bool = False) -> None:
        with database.writing() as session:
            message = session.get_one(Message, message_id)
            delivery_service.resend(
                session, message, by="Ravi", reason=reason, include_delivered=include_delivered
            )
            session.commit()

    return resend


@pytest.fixture
def claim_one(database: Database) -> ClaimOne:
    """Claim the one message that is due, so that it is being sent."""

    def claim_one() -> ClaimedMessage:
        with database.writing() as session:
            (claimed,) = claim(session, 1, clock.now()).messages
            session.commit()
        return claimed

    return claim_one


@pytest.fixture
def reclaim(database: Database) -> Reclaim:
    """Queue the webhooks again whose lease has ended."""

    def reclaim() -> None:
        with database.writing() as session:
            reclaim_expired(session, clock.now())
            session.commit()

    return reclaim


@pytest.fixture
def end_attempt(database: Database) -> Callable[[ClaimedMessage, str], None]:
    """End a POST: ``ok``, ``refuse``, ``timeout`` or ``500``."""
    return lambda claimed, how: finish(database, claimed, how)


@pytest.fixture
def deliver_with(claim_one: ClaimOne, end_attempt: Callable[[ClaimedMessage, str], None]) -> DeliverWith:
    """Send the one message that is due, with this result."""

    def deliver_with(how: str = "ok") -> None:
        end_attempt(claim_one(), how)

    return deliver_with


@pytest.fixture
def run_jobs(app: Flask, database: Database) -> RunJobs:
    """Run all due background jobs; returns whether there were any."""

    def run_jobs() -> bool:
        worker = Worker(database, background.handlers(app.extensions["settings"]))
        was_busy = False
        while worker.run_next():
            was_busy = True
        return was_busy

    return run_jobs
