"""``flask demo``: creates example data, then starts the web server, both workers and the simulator."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import clock
from app.accounts import service as account_service
from app.accounts.models import Role
from app.accounts.passwords import hash_password, new_password
from app.accounts.queries import person_by_username
from app.config import Settings, read_or_create_secret
from app.db import Database
from app.demo.orders import example_orders
from app.demo.team import add_teamwork
from app.inbound.file_import import ImportResult, import_body
from app.inbound.processing import Rules
from app.network.reader import dumps, read_json
from app.notifications.models import Notification
from app.orders.deadlines import notify_of_orders
from app.orders.models import PurchaseOrder, Revision
from app.partners import queries as partner_queries
from app.partners import service as partner_service
from app.partners.models import Partner
from app.supervisor import Command, flask_command, supervise

HOST = "127.0.0.1"
PARTNER = "Bharat Connect (simulator)"
DEADLINE_SECONDS = 5.0
UNDO_SECONDS = "5"
ORDERS_KNOWN = 1_000
"""Orders of an earlier run that the simulator knows: those that changed last."""
PEOPLE: list[tuple[str, str, Role, tuple[str, ...]]] = [
    ("asha", "Asha Kulkarni", Role.SUPPLIER, ("SUPPB2B0001@bbps", "SUPPB2B0002@bbps")),
    ("omar", "Omar Shaikh", Role.SUPPLIER, ("SUPPB2B0002@bbps",)),
    ("meera", "Meera Iyer", Role.MANAGER, ()),
    ("ravi", "Ravi Deshpande", Role.SUPPORT, ()),
    ("admin", "Administrator", Role.ADMIN, ()),
]


def run_demo(
    settings: Settings,
    database: Database,
    *,
    port: int,
    partner_port: int,
    busy: bool = False,
) -> int:
    """Create missing example data, then run all processes until Ctrl-C. Returns the exit code.

    With `busy` the traffic generator is on from the start.

    Errors: ClickException if a port is in use.
    """
    for number, name in ((port, "PORT"), (partner_port, "PARTNER_PORT")):
        _check_port(number, name)
    url, partner_url = f"http://{HOST}:{port}", f"http://{HOST}:{partner_port}"
    password = read_or_create_secret(settings.instance / "demo-password", new_password)
    inbound_key = read_or_create_secret(settings.instance / "demo-inbound-key")
    partner_key = read_or_create_secret(settings.instance / "demo-partner-key")
    database.upgrade()
    with database.writing() as session:
        partner = prepare(session, settings, partner_url, password, inbound_key, partner_key)
        session.commit()
        known = settings.instance / "demo-orders.jsonl"
        known.write_bytes(b"".join(dumps(body) + b"\n" for body in known_orders(session)))
    env = {**os.environ, "PO_SIMULATOR_URL": partner_url}
    if "undo_seconds" not in settings.model_fields_set:
        env["PO_UNDO_SECONDS"] = UNDO_SECONDS
    # The delivery worker and the background worker are children of this command.
    web_env = {**env, "PO_SERVE_DELIVERS": "false", "PO_SERVE_WORKS": "false"}
    simulator_env = {
        **env,
        "DEMO_SEND_TO": url,
        "DEMO_INBOUND_KEY": inbound_key,
        "DEMO_PARTNER_KEY": partner_key,
        "DEMO_ORDERS": str(known),
        "DEMO_STATE_FILE": str(settings.instance / "demo-received.jsonl"),
        "DEMO_STATE_OF": partner.created_at.isoformat(),
        "DEMO_TIME_ZONE": settings.time_zone.key,
        "DEMO_BUSY": "1" if busy else "",
    }

    def announce() -> bool:
        if not (_is_listening(port) and _is_listening(partner_port)):
            return False
        _print_sign_ins(url, partner_url, password)
        return True

    web = flask_command("serve", "--host", HOST, "--port", str(port))
    return supervise(
        [
            Command("web", web, web_env, restart=False),
            Command("delivery", flask_command("deliver"), env, restart=True),
            Command("worker", flask_command("work"), env, restart=True),
            Command("simulator", _simulator_command(partner_port), simulator_env, restart=False),
        ],
        announce=announce,
    )


def prepare(
    session: Session,
    settings: Settings,
    partner_url: str,
    password: str,
    inbound_key: str,
    partner_key: str,
) -> Partner:
    """Create missing example users, the partner, its orders and comments on them; returns the partner."""
    add_people(session, password)
    partner = partner_queries.partner_by_name(session, PARTNER)
    if partner:
        partner.base_url = partner_url
        return partner
    partner, _ = partner_service.add(
        session,
        PARTNER,
        base_url=partner_url,
        headers=[("X-Api-Key", partner_key)],
        allow_addresses=["127.0.0.0/8"],
        inbound_key=inbound_key,
        deadline_seconds=DEADLINE_SECONDS,
    )
    _import_orders(session, settings, partner)
    add_teamwork(session)
    notify_of_orders(session)
    # Sixty unread notifications would hide those of the first visit.
    session.execute(update(Notification).values(read_at=clock.now()))
    return partner


def add_people(session: Session, password: str, roles: Collection[Role] = tuple(Role)) -> None:
    """Add the example users with these roles who do not exist."""
    password_hash = hash_password(password)
    for name, full_name, role, suppliers in PEOPLE:
        if role in roles and not person_by_username(session, name):
            account_service.add_person(
                session,
                name,
                role=role,
                password_hash=password_hash,
                supplier_ids=suppliers,
                full_name=full_name,
            )


def _import_orders(session: Session, settings: Settings, partner: Partner) -> None:
    rules = Rules.of(settings)
    result = ImportResult()
    for number, body in enumerate(example_orders(clock.now()), start=1):
        sent_at = datetime.fromisoformat(body["purchaseOrder"]["ts"])
        import_body(
            session,
            partner.id,
            dumps(body),
            location=f"example {number}",
            rules=rules,
            result=result,
            received_at=sent_at,
        )


def known_orders(session: Session) -> Iterator[dict[str, Any]]:
    """The orders that the simulator knows from an earlier run, oldest first.

    Each order is its newest version as received, with the current status.
    """
    partner = partner_queries.partner_by_name(session, PARTNER)
    newest = (
        select(Revision.body, PurchaseOrder.status)
        .join(PurchaseOrder, Revision.order_id == PurchaseOrder.id)
        .where(
            PurchaseOrder.partner_id == (partner and partner.id), Revision.version == PurchaseOrder.version
        )
        .order_by(PurchaseOrder.revised_at.desc(), PurchaseOrder.id.desc())
        .limit(ORDERS_KNOWN)
    )
    for raw, status in reversed(session.execute(newest).all()):
        body = read_json(raw, max_bytes=len(raw))
        body["purchaseOrder"]["poStatusTransition"] = {"currentStatus": status, "newStatus": status}
        yield body


def _print_sign_ins(url: str, partner_url: str, password: str) -> None:
    for name, _, role, _ in PEOPLE:
        click.echo(f"sign in: {name} / {password} ({role})")
    click.echo(f"PO Confirm: {url}  Partner simulator: {partner_url}  Press Ctrl-C to stop.")


def _simulator_command(port: int) -> list[str]:
    # One process: the simulator keeps received messages in memory, and in a file only while it is stopped.
    return [sys.executable, "-m", "app.demo.wsgi", HOST, str(port)]


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _check_port(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise click.ClickException(
                f"port {port} is in use; choose another: {name}={port + 10} make run"
            ) from error
