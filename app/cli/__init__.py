"""The ``flask`` commands: each a thin edge that parses, calls a room, commits and prints."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts import service as account_service
from app.accounts.models import Role
from app.accounts.passwords import new_password
from app.audit import seals, trail
from app.audit.models import AuditAction, AuditObject
from app.background import worker
from app.cli.supervisor import Child, Forked, flask_command, run_together
from app.config import Settings
from app.db import Database
from app.delivery.models import MessageState
from app.delivery.service import REASON_MAX
from app.delivery.statistics import roll
from app.delivery.worker import Deliverer
from app.demo.seed import NotHere
from app.demo.seed import seed as fill
from app.demo.start import run_demo
from app.inbound.file_import import Brought, bodies_in, bring
from app.inbound.processing import Rules
from app.orders.response_counts import count_answers
from app.partners import queries as partner_queries
from app.partners import service as partner_service
from app.partners.models import Partner
from app.retention import Ages, prune_old
from app.tasks.mail_sender import send_test
from app.webhooks import resend_job as resends
from app.webhooks.queries import MessageFilter
from app.webhooks.resend_plan import Selection, plan

users = AppGroup("users", help="People who can sign in.")
partners = AppGroup("partners", help="The systems that send orders and take answers.")
orders = AppGroup("orders", help="Purchase orders.")
audit = AppGroup("audit", help="The audit trail.")
alerts = AppGroup("alerts", help="Mails that tell people.")


def init_app(app: Flask) -> None:
    """Join the commands to the app."""
    for command in (
        init,
        users,
        partners,
        orders,
        audit,
        alerts,
        prune,
        deliver,
        work,
        rollup,
        resend_since,
        seed,
        serve,
        demo,
    ):
        app.cli.add_command(command)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _database() -> Database:
    database: Database = current_app.extensions["database"]
    return database


@contextmanager
def _writing() -> Iterator[Session]:
    """A session for a command; a database that is missing or busy is one clear line."""
    try:
        with trail.acting(trail.COMMAND_LINE), _database().writing() as session:
            yield session
    except DBAPIError as error:
        _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")


def _fail(line: str) -> NoReturn:
    raise click.ClickException(line)


@click.command()
@with_appcontext
def init() -> None:
    """Create the database, or upgrade it to this version."""
    _database().upgrade()
    click.echo("The database is ready.")


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--supplier", "suppliers", multiple=True, metavar="B2BID", help="A supplier id; repeatable.")
@click.option("--full-name", default="", help="The name that others see.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def users_add(name: str, role: str, suppliers: tuple[str, ...], full_name: str, password_stdin: bool) -> None:
    """Add a person. Where no password is given it asks on a terminal, else makes one and prints it."""
    made = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = made = new_password()
    with _writing() as session:
        try:
            person = account_service.add(
                session, name, role=Role(role), password=password, supplier_ids=suppliers, full_name=full_name
            )
        except account_service.BadPerson as error:
            _fail(str(error))
        session.commit()
    click.echo(f"added {person.name} ({person.role})")
    if made:
        click.echo(f"password: {made}")


@partners.command("add")
@click.argument("name")
@click.option("--base-url", required=True, metavar="URL")
@click.option("--allow-address", "allowed", multiple=True, metavar="CIDR", help="Private range it may be in.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with every message.")
@click.option("--inbound-key", metavar="KEY", help="The key its messages carry; made when not given.")
@click.option("--deadline", type=float, default=15.0, metavar="SECONDS", help="For the whole of one call.")
@click.option("--retry-schedule", metavar="5,300,…", help="Seconds to wait after each failed try.")
@click.option("--concurrency", type=int, default=4, show_default=True, help="Messages under way at once.")
@click.option("--rate-per-minute", type=int, help="Messages that leave in a minute, at most.")
@click.option("--success-code", "success_codes", type=int, multiple=True, help="Besides 0; repeatable.")
@click.option("--accepts-return", is_flag=True, help="Suppliers may send an order back for changes.")
@click.option("--contact", default="", help="Whom to call when it does not work.")
def partners_add(
    name: str,
    base_url: str,
    allowed: tuple[str, ...],
    headers: tuple[str, ...],
    inbound_key: str | None,
    deadline: float,
    retry_schedule: str | None,
    **more: Any,
) -> None:
    """Add a partner, and print once the key that its messages to us must carry."""
    with _writing() as session:
        try:
            partner, key = partner_service.add(
                session,
                name,
                base_url=base_url,
                headers=[_split_header(header) for header in headers],
                allow_addresses=allowed,
                inbound_key=inbound_key,
                deadline_seconds=deadline,
                retry_schedule=_seconds(retry_schedule),
                **more,
            )
        except partner_service.BadPartner as error:
            _fail(str(error))
        session.commit()
    click.echo(f"added {partner.name} at {partner.base_url}")
    click.echo(f"inbound key: {key}")


@partners.command("pause")
@click.argument("name")
@click.option("--reason", required=True)
def partners_pause(name: str, reason: str) -> None:
    """Hold a partner's messages."""
    with _writing() as session:
        partner_service.pause(session, _partner(session, name), reason, by="the command line")
        session.commit()
    click.echo(f"{name} is paused: {reason}")


@partners.command("resume")
@click.argument("name")
@click.option("--reason", default="", help="It stands in the audit trail.")
def partners_resume(name: str, reason: str) -> None:
    """Let a partner's messages go again."""
    with _writing() as session:
        partner_service.resume(session, _partner(session, name), reason, by="the command line")
        session.commit()
    click.echo(f"{name} is resumed")


@orders.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@click.option(
    "--partner", "partner_name", metavar="NAME", help="Whose orders they are, if there are several."
)
def orders_import(files: tuple[Any, ...], partner_name: str | None) -> None:
    """Take `req-send` bodies from files: one object, an array, or JSON lines; - is standard input."""
    settings = _settings()
    rules = Rules(settings.max_body_bytes, timedelta(hours=settings.respond_within_hours))
    brought = Brought()
    for file in files:
        found = list(bodies_in(file.read()))
        shown = click.progressbar(found, label=_called(file), file=sys.stderr, hidden=not sys.stderr.isatty())
        with _writing() as session, shown as progressing:
            partner = _partner(session, partner_name)
            for number, body in progressing:
                place = f"{_called(file)}:{number}"
                bring(session, partner.id, body, place=place, rules=rules, brought=brought)
                session.commit()
            trail.record(
                session,
                AuditAction.IMPORTED,
                AuditObject.PARTNER,
                partner.id,
                name=partner.name,
                after={"file": _called(file), "orders": len(found)},
            )
            session.commit()
    for refusal in brought.refusals:
        click.echo(refusal, err=True)
    click.echo(f"taken={brought.taken} repeated={brought.repeated} refused={len(brought.refusals)}")
    if brought.refusals:
        sys.exit(1)


@alerts.command("test")
def alerts_test() -> None:
    """Send a mail to everybody who is told, now, and say what came of it."""
    settings = _settings()
    if not settings.smtp_url:
        _fail("mails are off: set PO_SMTP_URL, PO_MAIL_FROM and PO_MAIL_TO")
    outcome = send_test(settings)
    for address in settings.mail_addresses:
        click.echo(f"{address}: {'taken' if address in outcome.taken else 'not taken'}")
    if outcome.trouble:
        _fail(outcome.trouble)


@click.command("prune")
@click.option("--older-than", type=click.FloatRange(min=1), metavar="DAYS", help="Else as the settings say.")
@with_appcontext
def prune(older_than: float | None) -> None:
    """Remove what is older: contents of messages, received messages, sealed audit entries."""
    ages = Ages(older_than, older_than, older_than) if older_than else Ages.of(_settings())
    if ages == Ages():
        _fail("say --older-than DAYS, or set PO_KEEP_MESSAGES_DAYS, PO_KEEP_INBOUND_DAYS, PO_KEEP_AUDIT_DAYS")
    with _asking(), trail.acting(trail.COMMAND_LINE):
        removed = prune_old(_database(), ages)
    click.echo(" ".join(f"{word}={count}" for word, count in removed.items()))


@audit.command("seal")
def audit_seal() -> None:
    """Seal what was added to the trail since the last seal."""
    with _asking():
        click.echo(f"sealed={seals.seal(_database())}")


@audit.command("verify")
@click.option("--expect", default="", metavar="SHA256", help="The digest of a seal that was kept elsewhere.")
def audit_verify(expect: str) -> None:
    """Check every seal and every entry; exit 1 with the first thing that is wrong."""
    with _asking(), _database().reading() as session:
        found = seals.verify(session, expect.strip().lower())
    click.echo(
        f"seals={found.seals} entries={found.entries} pruned={found.pruned} unsealed={found.unsealed}"
        f" last={found.last_sha256 or 'none'}"
    )
    if found.fault:
        _fail(found.fault)
    click.echo("The trail is as it was sealed.")


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due, then exit.")
@click.option("--workers", type=click.IntRange(1, 128), help="Messages that may be under way at once.")
@with_appcontext
def deliver(once: bool, workers: int | None) -> None:
    """Deliver messages until told to stop; SIGTERM finishes what is in flight and claims nothing new."""
    deliverer = Deliverer(_database(), senders=workers or _settings().senders)
    if once:
        try:
            counts = deliverer.drain()
        except DBAPIError as error:
            _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")
        click.echo(
            " ".join(f"{word}={counts[word]}" for word in ("delivered", "retried", "refused", "failed"))
        )
        return
    deliverer.run(_until_asked())


def _until_asked() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    return stop


@click.command()
@click.option("--once", is_flag=True, help="Do what waits and what is due, then exit.")
@with_appcontext
def work(once: bool) -> None:
    """Run long jobs and chores until told to stop; what is in hand ends with its present step."""
    here = worker(_database(), _settings())
    if not once:
        here.run(_until_asked())
        return
    try:
        while here.once():
            pass
    except DBAPIError as error:
        _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")


@click.command()
@with_appcontext
def rollup() -> None:
    """Count by time what the pages of health and answers show; a worker does this by itself."""
    try:
        counted, answers = roll(_database()), count_answers(_database(), _settings().zone)
    except DBAPIError as error:
        _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")
    click.echo(f"minutes={counted} answers={answers}")


@click.command()
@click.option("--messages", type=click.IntRange(1), default=200_000, show_default=True)
@click.option("--attempts", type=click.IntRange(1), default=600_000, show_default=True)
@click.option("--yes", "anyway", is_flag=True, help="Even if the database is at work.")
@with_appcontext
def seed(messages: int, attempts: int, anyway: bool) -> None:
    """Fill a demo's or an empty database with a month of made-up orders, answers, messages and attempts."""
    shown = click.progressbar(length=messages, file=sys.stderr, hidden=not sys.stderr.isatty())
    try:
        with shown as progressing:
            made = fill(
                _database(), messages=messages, attempts=attempts, told=progressing.update, anyway=anyway
            )
        minutes = roll(_database())
        count_answers(_database(), _settings().zone)
    except NotHere as blocker:
        _fail(f"{blocker}; --yes does it all the same")
    except ValueError as error:
        _fail(str(error))
    except DBAPIError as error:
        _fail(f"The database does not do this: {error.orig}. Has `flask init` been run?")
    click.echo(" ".join(f"{word}={count}" for word, count in made.items()) + f" minutes={minutes}")


@click.command("resend")
@click.option("--since", required=True, metavar="TIME", help="ISO 8601; without a zone the setting's.")
@click.option("--partner", "partner_name", metavar="NAME")
@click.option(
    "--state", type=click.Choice(["failed", "refused", "pending"]), default="failed", show_default=True
)
@click.option("--reason", default="Sent again from the command line", help="Stands in the log.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@with_appcontext
def resend_since(since: str, partner_name: str | None, state: str, reason: str, dry_run: bool) -> None:
    """Send again all messages of a state since a time: same bytes, same ids, one more try each."""
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        _fail(f"{since!r} is not a time such as 2026-11-23T10:00")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=_settings().zone)
    selection = Selection(
        filter=MessageFilter(partner=partner_name or ""), tried_since=moment, states=(MessageState(state),)
    )
    with _writing() as session:
        if partner_name:
            _partner(session, partner_name)
        planned = plan(session, None, selection)
        if planned.count and not dry_run:
            job = resends.ask_for(
                session, None, selection, by="command line", person_id=None, reason=reason[:REASON_MAX]
            )
            resends.finish_at_once(session, job)
            session.commit()
    for group in planned.left_out:
        click.echo(f"left out {group.count}: {group.words}", err=True)
    click.echo(f"{'would resend' if dry_run else 'resent'}={planned.count} left_out={planned.left_out_count}")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@with_appcontext
def serve(host: str, port: int) -> None:
    """Serve the web pages with gunicorn; supervise a worker, and a deliverer unless told not to."""
    settings = _settings()
    children: list[Child] = [Forked("web", partial(_serve, settings, host, port), kept=False)]
    if settings.serve_delivers:
        children.append(Child("deliverer", flask_command("deliver"), os.environ, kept=True))
    if settings.serve_works:
        children.append(Child("worker", flask_command("work"), os.environ, kept=True))
    sys.exit(run_together(children))


def _serve(settings: Settings, host: str, port: int) -> None:
    """Be gunicorn, in a process that has loaded the app already."""
    from gunicorn.app import wsgiapp  # noqa: PLC0415 - of no use to any other command

    sys.argv = ["gunicorn", *_web_words(settings, host, port)]
    wsgiapp.run(prog="gunicorn")


def web_command(settings: Settings, host: str, port: int) -> list[str]:
    """The same as a command."""
    return [sys.executable, "-m", "gunicorn", *_web_words(settings, host, port)]


def _web_words(settings: Settings, host: str, port: int) -> list[str]:
    """gunicorn with threads; ``reuse-port`` lets the kernel spread connections over the processes."""
    return [
        "app:served()",
        "--bind",
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "--workers",
        str(settings.web_processes),
        "--worker-class",
        "gthread",
        "--threads",
        str(settings.web_threads),
        "--preload",
        "--reuse-port",
        "--limit-request-line",
        "8190",
        "--graceful-timeout",
        "10",
        "--log-level",
        "warning",
    ]


@click.command()
@click.option("--busy", is_flag=True, envvar="BUSY", help="The buyers keep sending: orders, edits, results.")
@with_appcontext
def demo(busy: bool) -> None:
    """Example data, web, deliverer and the partner simulator; PORT and PARTNER_PORT move the ports."""
    port, partner_port = _port("PORT", 8000), _port("PARTNER_PORT", 8001)
    sys.exit(
        run_demo(
            _settings(),
            _database(),
            port=port,
            partner_port=partner_port,
            web_command=web_command,
            busy=busy,
        )
    )


def _port(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        _fail(f"{name}={text!r} is not a port")
    return int(text)


def _partner(session: Session, name: str | None) -> Partner:
    if name is not None:
        partner = partner_queries.partner_by_name(session, name)
        return partner or _fail(f"there is no partner {name}")
    every = partner_queries.all_partners(session)
    if len(every) != 1:
        _fail(
            "say whose orders they are with --partner"
            if every
            else "add a partner first: `flask partners add`"
        )
    return every[0]


def _called(file: Any) -> str:
    return str(getattr(file, "name", "<stdin>"))


def _split_header(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        _fail(f"{header!r} is not of the form 'Name: value'")
    return name, value


def _seconds(schedule: str | None) -> list[float]:
    try:
        return [float(wait) for wait in schedule.split(",")] if schedule else []
    except ValueError:
        _fail(f"{schedule!r} is not a list of seconds such as 5,300,1800")
