"""The ``flask`` commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import create_app
from app.accounts.passwords import is_password
from app.accounts.queries import person_by_username
from app.config import Settings
from app.db import Database
from app.demo.orders import ORDERS_FILE
from app.network.reader import dumps
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from app.partners.queries import partner_by_name, partner_with_key
from tests.fixture_types import Arrive, Deliver
from tests.people import Browser
from tests.serving import Network


def run(app: Flask, *arguments: str, **options: Any) -> Any:
    return app.test_cli_runner().invoke(args=list(arguments), **options)


def test_init_creates_a_database_and_is_repeatable(tmp_path: Path) -> None:
    settings = Settings.load(instance=tmp_path)
    app = create_app(settings)
    assert app.test_client().get("/readyz").status_code == 503
    assert run(app, "init").exit_code == 0
    assert run(app, "init").exit_code == 0
    assert app.test_client().get("/readyz").get_json() == {"status": "ready"}
    assert app.test_client().get("/healthz").get_json() == {"status": "alive"}
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["init", "demo"])
def test_command_on_a_newer_database_is_one_line(
    app: Flask, database: Database, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "18471")
    monkeypatch.setenv("PARTNER_PORT", "18472")
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    result = run(app, command)
    assert result.exit_code == 1
    assert result.output == (
        "Error: The database is newer than this version of PO Confirm (revision 9999). "
        "Install that version, or restore a backup.\n"
    )


def test_unreachable_database_is_one_line_without_its_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://po:hunter2%40x@127.0.0.1:9/po"
    settings = Settings.load(instance=tmp_path, database_url=url)
    app = create_app(settings)
    result = run(app, "init")
    assert result.exit_code == 1
    assert result.output.startswith("Error: Database error: ") and result.output.count("\n") == 1
    headers = {"X-Partner-Key": "a key"}
    assert app.test_client().get("/api/v0/ping", headers=headers).status_code == 503
    assert app.test_client().get("/readyz").status_code == 503
    everything = result.output + caplog.text + "".join(capfd.readouterr()) + repr(settings)
    assert "127.0.0.1" in everything and "hunter2" not in everything


def test_command_before_init_names_init(tmp_path: Path) -> None:
    app = create_app(Settings.load(instance=tmp_path))
    result = run(app, "users", "add", "x", "--role", "manager", input="")
    assert result.exit_code == 1
    assert "flask init" in result.output


@pytest.mark.sqlite
def test_users_add_reads_password_from_stdin(app: Flask, session: Session) -> None:
    result = run(
        app,
        "users",
        "add",
        "Kiran",
        "--role",
        "supplier",
        "--supplier",
        "S1",
        "--supplier",
        "S2",
        "--password-stdin",
        input="mango lantern river\n",
    )
    assert result.exit_code == 0
    kiran = person_by_username(session, "kiran")
    assert kiran and kiran.supplier_ids == {"S1", "S2"}
    assert is_password(kiran.password_hash, "mango lantern river")


@pytest.mark.sqlite
def test_users_add_without_terminal_prints_generated_password(app: Flask, session: Session) -> None:
    result = run(app, "users", "add", "kiran", "--role", "manager")
    password = result.output.split("password: ")[1].strip()
    kiran = person_by_username(session, "kiran")
    assert kiran and is_password(kiran.password_hash, password)
    assert kiran.must_change_password


@pytest.mark.sqlite
def test_users_add_refuses_a_weak_password(subtests: pytest.Subtests, app: Flask, session: Session) -> None:
    for password, error in (
        ("short", "12 to 200"),
        ("password12345", "easy to guess"),
        ("mango-kiran-river", "name, username or supplier ID"),
    ):
        with subtests.test(password=password):
            result = run(
                app, "users", "add", "kiran", "--role", "manager", "--password-stdin", input=f"{password}\n"
            )
            assert (result.exit_code, error in result.output) == (1, True)
            assert person_by_username(session, "kiran") is None


@pytest.mark.sqlite
def test_users_add_invalid_user_fails_with_one_line(subtests: pytest.Subtests, app: Flask) -> None:
    for arguments, message in (
        (("asha", "--role", "manager"), "already taken"),
        (("kiran", "--role", "supplier"), "at least one supplier B2B ID"),
        (("kiran", "--role", "manager", "--supplier", "S1"), "see all suppliers"),
        (("ki ran", "--role", "manager"), "letters"),
        (("kiran", "--role", "king"), "king"),
    ):
        with subtests.test(arguments=arguments):
            result = run(app, "users", "add", *arguments)
            assert result.exit_code != 0
            assert message in result.output


@pytest.mark.sqlite
def test_partners_add_prints_the_key(app: Flask, session: Session) -> None:
    options = (
        "--base-url https://b2b.example/gateway/ --allow-address 10.1.2.0/24 --header 'X-Api-Key: s3cret' "
        "--deadline 7.5 --retry-schedule 5,300"
    )
    result = run(app, "partners", "add", "Network", *shlex.split(options))
    assert result.exit_code == 0, result.output
    key = result.output.split("inbound key: ")[1].strip()
    partner = partner_with_key(session, key)
    assert partner and partner.name == "Network"
    assert partner.base_url == "https://b2b.example/gateway"
    assert (partner.headers, partner.allow_addresses) == ([["X-Api-Key", "s3cret"]], ["10.1.2.0/24"])
    assert (partner.deadline_seconds, partner.retry_schedule) == (7.5, [5.0, 300.0])


@pytest.mark.sqlite
def test_partners_add_reads_secrets_from_standard_input(app: Flask, session: Session) -> None:
    arguments = ["partners", "add", "Network", "--base-url", "https://b2b.example"]
    arguments += ["--inbound-key-stdin", "--header-stdin", "--signature-required"]
    result = run(app, *arguments, input="an-inbound-key-1234\nX-Key: a: b\n\nX-Other: c\n")
    assert "inbound key: an-inbound-key-1234" in result.output
    partner = session.scalars(select(Partner)).one()
    assert partner.headers == [["X-Key", "a: b"], ["X-Other", "c"]]
    assert partner.signature_required
    assert partner_with_key(session, "an-inbound-key-1234") == partner


@pytest.mark.sqlite
def test_partners_add_header_without_colon_is_not_repeated(app: Flask) -> None:
    arguments = ("partners", "add", "Network", "--base-url", "https://b2b.example", "--header-stdin")
    result = run(app, *arguments, input="X-Api-Key s3cret\n")
    assert result.exit_code == 1 and "Name: value" in result.output
    assert "s3cret" not in result.output


@pytest.mark.sqlite
def test_partners_add_secret_over_plain_http_needs_the_option(app: Flask, session: Session) -> None:
    arguments = ("partners", "add", "Network", "--base-url", "http://b2b.example", "--header", "X-Key: v")
    refused = run(app, *arguments)
    assert refused.exit_code == 1 and "--allow-plain-http" in refused.output
    assert session.scalar(select(func.count(Partner.id))) == 0
    assert run(app, *arguments, "--allow-plain-http").exit_code == 0


@pytest.mark.sqlite
def test_partners_add_stores_limits(app: Flask, session: Session) -> None:
    options = (
        "--base-url https://b2b.example --contact Kiran --concurrency 2 --rate-per-minute 60 "
        "--success-code 7 --accepts-return"
    )
    result = run(app, "partners", "add", "Network", *shlex.split(options))
    assert result.exit_code == 0, result.output
    partner = partner_by_name(session, "Network")
    assert partner and (partner.concurrency, partner.rate_per_minute) == (2, 60)
    assert (partner.success_codes, partner.accepts_return, partner.contact) == ([0, 7], True, "Kiran")


@pytest.mark.sqlite
def test_partners_add_invalid_partner_adds_nothing(
    subtests: pytest.Subtests, app: Flask, session: Session
) -> None:
    for arguments in (
        ("--base-url", "ftp://x"),
        ("--base-url", "https://user:pw@x"),
        ("--base-url", "https://x", "--allow-address", "10.1.2.3.4"),
        ("--base-url", "https://x", "--header", "no colon"),
        ("--base-url", "https://x", "--header", "X-Key: "),
        ("--base-url", "https://x", "--header", "A: b\r\nC: d"),
        ("--base-url", "https://x", "--inbound-key", "short"),
        ("--base-url", "https://x", "--retry-schedule", "soon"),
        ("--base-url", "https://x", "--deadline", "0"),
    ):
        with subtests.test(arguments=arguments):
            result = run(app, "partners", "add", "Network", *arguments)
            assert result.exit_code == 1, result.output
            assert partner_by_name(session, "Network") is None


def test_partners_pause_stores_the_reason_and_resume_ends_it(
    app: Flask, session: Session, partner: Partner
) -> None:
    assert run(app, "partners", "pause", partner.name, "--reason", "maintenance").exit_code == 0
    paused = partner_by_name(session, partner.name)
    assert paused and paused.paused and paused.paused_reason == "maintenance"
    assert run(app, "partners", "resume", partner.name).exit_code == 0
    session.expire_all()
    session.rollback()
    assert not paused.paused
    assert run(app, "partners", "resume", "nobody").exit_code == 1


@pytest.mark.sqlite
def test_partners_pause_needs_a_visible_reason(app: Flask, session: Session, partner: Partner) -> None:
    for reason in ("", " \u200b"):
        result = run(app, "partners", "pause", partner.name, "--reason", reason)
        assert (result.exit_code, result.output) == (1, "Error: Enter a reason.\n")
    unchanged = partner_by_name(session, partner.name)
    assert unchanged and not unchanged.paused


@pytest.mark.sqlite
def test_partners_pause_of_a_paused_partner_keeps_the_first_reason(
    app: Flask, session: Session, partner: Partner
) -> None:
    run(app, "partners", "pause", partner.name, "--reason", "maintenance")
    again = run(app, "partners", "pause", partner.name, "--reason", "another")
    assert (again.exit_code, again.output) == (0, f"{partner.name} was already paused\n")
    paused = partner_by_name(session, partner.name)
    assert paused and paused.paused_reason == "maintenance"


@pytest.mark.parametrize("shape", ["lines", "array", "objects"])
def test_orders_import_accepts_every_shape_and_ignores_repeats(
    app: Flask, session: Session, partner: Partner, tmp_path: Path, example_bodies: list[Any], shape: str
) -> None:
    files = [tmp_path / "orders.json"]
    if shape == "lines":
        files[0].write_bytes(ORDERS_FILE.read_bytes())
    elif shape == "array":
        files[0].write_bytes(dumps(example_bodies))
    else:
        files = [tmp_path / f"{number}.json" for number in range(60)]
        for file, body in zip(files, example_bodies, strict=True):
            file.write_bytes(dumps(body))
    first = run(app, "orders", "import", *map(str, files))
    assert (first.exit_code, first.output) == (0, "taken=60 repeated=0 refused=0\n")
    again = run(app, "orders", "import", *map(str, files), "--partner", partner.name)
    assert again.output == "taken=0 repeated=60 refused=0\n"
    assert session.scalar(select(func.count()).select_from(PurchaseOrder)) == 60


def test_orders_import_reports_invalid_lines_and_imports_the_rest(
    app: Flask, partner: Partner, example_bodies: list[Any]
) -> None:
    lines = [dumps(body) for body in example_bodies[:4]]
    lines[1] = lines[1].replace(b'"subject":', b'"theme":')
    lines[2] = b"{ no json"
    result = run(app, "orders", "import", "-", input=b"\n".join(lines))
    assert result.exit_code == 1
    assert "taken=2 repeated=0 refused=2" in result.output
    assert "<stdin>:2: purchaseOrder.subject is missing" in result.output
    assert "<stdin>:3: " in result.output


def test_orders_import_without_partner_fails(app: Flask) -> None:
    result = run(app, "orders", "import", str(ORDERS_FILE))
    assert result.exit_code == 1
    assert "flask partners add" in result.output


def test_deliver_once_with_nothing_due_prints_zero_counts(app: Flask) -> None:
    result = run(app, "deliver", "--once")
    assert (result.exit_code, result.output) == (0, "delivered=0 retried=0 refused=0 failed=0\n")


def test_resend_since_a_time_resends_and_counts(
    app: Flask, asha: Browser, arrive: Arrive, deliver: Deliver, network: Network
) -> None:
    network.behave("refuse", times=2)
    for order_id in arrive(2):
        asha.respond(order_id)
    deliver()
    command = ("resend", "--since", "2020-01-01", "--state", "refused")
    assert run(app, *command, "--dry-run").output == "would resend=2 skipped=0\n"
    assert deliver() == {}
    assert run(app, *command, "--partner", "Bharat Connect").output == "resent=2 skipped=0\n"
    assert deliver() == {"delivered": 2}
    for time in ("tomorrow", "0001-01-01", "9999-12-31T23:59-12:00"):
        result = run(app, "resend", "--since", time)
        assert (result.exit_code, "is not a time" in result.output) == (1, True)
    assert run(app, *command, "--partner", "nobody").exit_code == 1
    assert run(app, "resend", "--since", "2999-01-01").output == "resent=0 skipped=0\n"


def test_work_once_exits_when_nothing_is_due(app: Flask) -> None:
    assert run(app, "work", "--once").exit_code == 0
