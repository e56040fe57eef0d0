"""Exports: the rows of the list, exact amounts, no formulas, no secrets, little memory."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tracemalloc
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.http import parse_options_header

from app.audit.models import AuditAction, AuditEntry
from app.db import Database
from app.db.filters import Page
from app.delivery.models import Message, MessageNote, MessageState
from app.exports import files, formats, sources
from app.exports import routes as exports_routes
from app.exports.sources import CellType, ExportColumn
from app.inbound.processing import Call, Rules, receive_message
from app.network.reader import dumps
from app.network.vocabulary import Kind
from app.orders.models import PurchaseOrder
from app.partners.models import Partner
from app.tasks.models import Job, JobState
from tests.fixture_types import Arrive, MoveClock, RunJobs
from tests.people import Browser

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_csv(raw: bytes) -> list[dict[str, str]]:
    assert raw.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def read_jsonl(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.decode().splitlines()]


def read_xlsx(raw: bytes, sheet: int = 1) -> list[list[tuple[str, str]]]:
    """The cells of a sheet, each with its type: ``inlineStr`` or ``n``. A formula fails."""
    with zipfile.ZipFile(io.BytesIO(raw)) as book:
        tree = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))
    rows = []
    for row in tree.iter(f"{SHEET}row"):
        assert not list(row.iter(f"{SHEET}f"))
        rows.append([(cell.get("t", "n"), "".join(cell.itertext())) for cell in row.iter(f"{SHEET}c")])
    return rows


def create_export(browser: Browser, url: str = "/exports/webhooks.csv") -> str:
    """Submit "Create export" and return the id of the job."""
    response = browser.submit(url, url)
    assert response.status_code == 303
    return str(response.location.rsplit("/", 1)[1])


READERS: dict[str, Callable[[bytes], list[Any]]] = {"csv": read_csv, "jsonl": read_jsonl}


def test_export_has_exactly_the_rows_of_the_list(
    subtests: pytest.Subtests, meera: Browser, database: Database, many_messages: Any
) -> None:
    ids = many_messages(130)
    with database.writing() as session:
        for number in (3, 70):
            row = session.get_one(Message, ids[number])
            row.state = MessageState.REFUSED
        session.commit()
    for form in ("csv", "jsonl"):
        for query in ("", "q=PO%2F1", "state=refused", "until=2000-01-01T00:00"):
            with subtests.test(form=form, query=query):
                shown, url = [], f"/webhooks?{query}"
                while url:
                    page = meera.get(url)
                    rows = page.page.select("tbody a.strong")
                    shown += [str(row["href"]).rsplit("/", 1)[1] for row in rows]
                    following = page.page.select_one("a[rel=next]")
                    url = str(following["href"]) if following else ""
                response = meera.get(f"/exports/webhooks.{form}?{query}")
                assert response.status_code == 200
                assert [row["id"] for row in READERS[form](response.data)] == shown
                disposition, options = parse_options_header(response.headers["Content-Disposition"])
                assert disposition == "attachment"
                assert options["filename"].startswith("po-confirm-webhooks-")


def test_orders_export_keeps_sort_and_exact_amounts(
    meera: Browser, arrive: Arrive, database: Database
) -> None:
    order_ids = arrive(7)
    with database.writing() as session:
        row = session.get_one(PurchaseOrder, order_ids[0])
        row.total = "98765432109876543210.015"
        session.commit()
    rows = read_jsonl(meera.get("/exports/orders.jsonl?sort=-buyer_po_number").data)
    numbers = [row["buyer_po_number"] for row in rows]
    assert len(numbers) == 7 and numbers == sorted(numbers, reverse=True)
    by_id = {row["id"]: row for row in rows}
    assert by_id[order_ids[0]]["total"] == "98765432109876543210.015"
    assert by_id[order_ids[1]]["respond_by"].endswith("+05:30")
    cells = read_xlsx(meera.get("/exports/orders.xlsx").data)
    totals = [row for row in cells if any("98765432109876543210.015" in text for _, text in row)]
    assert [kind for kind, text in totals[0] if "9876543210987" in text] == ["inlineStr"]
    assert sum(1 for row in cells for kind, text in row if kind == "n" and "." in text) > 0


def test_received_messages_and_audit_trail_can_be_exported(
    meera: Browser, arrive: Arrive, session: Session
) -> None:
    arrive(3)
    received = read_csv(meera.get("/exports/inbound.csv?effect=applied").data)
    assert [row["kind"] for row in received] == ["req-send"] * 3
    trail = read_jsonl(meera.get("/exports/audit.jsonl").data)
    actions = [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()))]
    assert [row["action"] for row in trail] == actions[1:], "all but this last export"
    assert actions[:2] == [AuditAction.EXPORTED, AuditAction.EXPORTED]


FORMULAS = ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", " =1", "\r=1", "＝1", "＋1", "−1", "\ufeff=1", "\x00=1"]
FORMULAS += ["﹦1", "\u2066=1", "\ufe0f=1", "\xad=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped(text: str) -> None:
    columns = [ExportColumn("a"), ExportColumn("b")]
    (row,) = read_csv(b"".join(formats.as_csv(columns, [[(text, "b")]], None)))  # type: ignore[arg-type]
    assert row["a"].startswith("'")
    file = io.BytesIO()
    formats.write_xlsx(file, columns, [[(text, "b")]], None, "T")  # type: ignore[arg-type]
    assert read_xlsx(file.getvalue())[1][0][0] == "inlineStr"


@pytest.mark.parametrize("text", ["<r>&</r>", '<r></r></is></c><c r="ZZ9"><f>1+1</f></c><c><is><r></r>'])
def test_rich_text_markup_is_escaped_in_excel(text: str) -> None:
    file = io.BytesIO()
    formats.write_xlsx(file, [ExportColumn("a"), ExportColumn("b")], [[(text, "b")]], None, "T")  # type: ignore[arg-type]
    assert read_xlsx(file.getvalue())[1] == [("inlineStr", "'" + text), ("inlineStr", "b")]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a\t@SUM(A1)", "a\t'@SUM(A1)"),
        ("a\r\n+1;b", "a\r\n'+1;b"),
        ('a;"=1+1;b"', 'a;\'"=1+1;b"'),
        ("=1;\ufeff=1", "'=1;'\ufeff=1"),
    ],
)
def test_formula_after_another_delimiter_is_escaped(text: str, escaped: str) -> None:
    assert formats.escape_formula(text) == escaped


@pytest.mark.parametrize(
    "text", ["-5.00", "plain", "a=b", "", "Confirmed - thanks", "99-100", "a;b\n\nc=d", "5;-5;6"]
)
def test_plain_text_is_not_escaped(text: str) -> None:
    assert formats.escape_formula(text) == text


@pytest.mark.sqlite
def test_partner_text_is_escaped_in_csv(meera: Browser, database: Database, many_messages: Any) -> None:
    ids = many_messages(1)
    formula = '=HYPERLINK("http://evil","x"),\n"quoted"'
    with database.writing() as session:
        row = session.get_one(Message, ids[0])
        row.note_code, row.note_params = MessageNote.TEXT, {"text": formula}
        session.commit()
    (exported,) = read_csv(meera.get("/exports/webhooks.csv").data)
    assert exported["note"] == "'" + formula


@pytest.mark.sqlite
def test_echoed_secret_is_masked(meera: Browser, database: Database, many_messages: Any) -> None:
    ids = many_messages(1)
    with database.writing() as session:
        row = session.get_one(Message, ids[0])
        row.response_message = "your key a-secret-of-ours is wrong"
        session.commit()
    for form in ("csv", "jsonl"):
        raw = meera.get(f"/exports/webhooks.{form}").data
        assert b"a-secret-of-ours" not in raw and "••••".encode() in raw
    assert "a-secret-of-ours" not in str(read_xlsx(meera.get("/exports/webhooks.xlsx").data))


def test_full_sheet_continues_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "SHEET_ROWS", 4)
    file = io.BytesIO()
    rows = [[(number, "x" * 40_000)] for number in range(7)]
    columns = [ExportColumn("n", CellType.NUMBER), ExportColumn("t")]
    formats.write_xlsx(file, columns, rows, None, "Rows")  # type: ignore[arg-type]
    sheets = [read_xlsx(file.getvalue(), number) for number in (1, 2, 3)]
    assert [len(sheet) for sheet in sheets] == [4, 4, 2]
    assert len(sheets[0][1][1][1]) == formats.CELL_MAX


@pytest.mark.sqlite
def test_empty_list_exports_no_rows(subtests: pytest.Subtests, meera: Browser) -> None:
    for form in ("csv", "xlsx", "jsonl"):
        with subtests.test(form=form):
            response = meera.get(f"/exports/webhooks.{form}")
            assert response.status_code == 200
            if form == "xlsx":
                assert len(read_xlsx(response.data)) == 1, "the names of the columns"
            else:
                assert READERS[form](response.data) == []


@pytest.mark.sqlite
def test_export_is_audited_with_its_filter(meera: Browser, many_messages: Any, session: Session) -> None:
    many_messages(3)
    meera.get("/exports/webhooks.csv?state=delivered&after=")
    last = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert last and (last.action, last.actor) == (AuditAction.EXPORTED, "Meera")
    assert last.new_values == {"what": "webhooks", "form": "csv", "filter": {"state": "delivered"}, "rows": 3}


@pytest.mark.sqlite
def test_invalid_filter_exports_nothing(meera: Browser, many_messages: Any) -> None:
    many_messages(2)
    response = meera.get("/exports/webhooks.csv?state=nonsense")
    assert response.status_code == 422 and "Export failed" in response.visible_text
    assert meera.get("/exports/nothing.csv").status_code == 404
    assert meera.get("/exports/webhooks.exe").status_code == 404


@pytest.mark.sqlite
def test_lists_link_to_exports_for_people_with_permission(
    meera: Browser, ravi: Browser, many_messages: Any
) -> None:
    many_messages(60)
    for path in ("/webhooks", "/orders", "/inbound", "/audit"):
        links = [str(link["href"]) for link in meera.get(f"{path}?q=PO").page.select(".export a")]
        assert [link.split("?")[0].rsplit(".")[-1] for link in links[:3]] == ["csv", "xlsx", "jsonl"]
        assert all(link.endswith("?q=PO") for link in links[:3])
    second = meera.get(meera.get("/webhooks").one("a[rel=next]")["href"])
    assert all("after" not in link["href"] for link in second.page.select(".export a"))
    assert not ravi.get("/webhooks").page.select(".export")


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl"])
def test_large_export_is_a_job_that_only_its_owner_downloads(
    meera: Browser,
    set_rows_at_once: Any,
    many_messages: Any,
    run_jobs: RunJobs,
    session: Session,
    form: str,
    app: Flask,
) -> None:
    ids = many_messages(1200)
    set_rows_at_once(1000)
    url = f"/exports/webhooks.{form}?state=delivered"
    assert "more than 1,000 rows" in meera.get(url).visible_text
    job_id = create_export(meera, url)
    early = meera.get(f"/exports/files/{job_id}")
    assert early.status_code == 404 and "not finished" in early.visible_text
    assert not meera.get(f"/jobs/{job_id}").page.select("main a[href*='/exports/']"), (
        "there is nothing to fetch"
    )
    assert run_jobs()
    job = session.get(Job, job_id)
    assert job and (job.state, job.done, job.total) == (JobState.DONE, 1200, 1200)
    response = meera.get(f"/exports/files/{job_id}")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Content-Type"].count("charset=utf-8") == (form != "xlsx")
    if form == "xlsx":
        assert [row[0][1] for row in read_xlsx(response.data)][1:] == ids
    else:
        assert [row["id"] for row in READERS[form](response.data)] == ids
    path = files.path_of(app.extensions["settings"], job_id, form)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    page = meera.get("/exports")
    assert page.one("tbody a[href^='/exports/files/']")
    shown = meera.get(f"/jobs/{job_id}")
    title = f"Webhooks as {formats.NAMES[form]}"
    assert shown.one("h1").get_text() == page.one("tbody a.strong").get_text() == title
    assert shown.one(f"a[href='/exports/files/{job_id}']").get_text().startswith("Download, ")
    assert "kept until" in shown.visible_text
    with app.extensions["database"].writing() as writing:
        row = writing.get(Job, job_id)
        row.person_id = 999
        writing.commit()
    assert meera.get(f"/exports/files/{job_id}").status_code == 404
    shown = meera.get(f"/jobs/{job_id}")
    assert "Only Meera can download the file" in shown.visible_text
    assert not shown.page.select("a[href*='/exports/files/']")


def test_slow_search_offers_a_job(
    meera: Browser, many_messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_messages(3)
    monkeypatch.setattr(exports_routes, "SECONDS_MAX", -1.0)
    assert "This export is large." in meera.get("/exports/webhooks.csv").visible_text


def test_empty_batch_does_not_end_the_export(
    meera: Browser, many_messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = many_messages(4)
    source = sources.SOURCES["webhooks"]

    def in_batches(session: Session, scope: Any, values: Any) -> Any:
        if "after" not in values:
            return Page([], "msg_Z")
        return Page(source.page(session, scope, {**values, "after": "msg_ZZ"}).rows)

    monkeypatch.setitem(sources.SOURCES, "webhooks", replace(source, page=in_batches))
    assert [row["id"] for row in read_jsonl(meera.get("/exports/webhooks.jsonl").data)] == ids
    assert [row["id"] for row in read_csv(meera.get("/exports/webhooks.csv").data)] == ids
    assert len(read_xlsx(meera.get("/exports/webhooks.xlsx").data)) == 5


def test_expired_file_is_removed(
    app: Flask,
    database: Database,
    meera: Browser,
    set_rows_at_once: Any,
    many_messages: Any,
    run_jobs: RunJobs,
    move_clock: MoveClock,
) -> None:
    many_messages(5)
    set_rows_at_once(1)
    job_id = create_export(meera)
    run_jobs()
    settings = app.extensions["settings"]
    assert files.remove_expired(database, settings) == 0
    move_clock(hours=73)
    assert meera.get(f"/exports/files/{job_id}").status_code == 404
    assert "expired" in meera.get(f"/jobs/{job_id}").visible_text
    assert files.remove_expired(database, settings) == 1
    assert not list((settings.instance / files.FOLDER).iterdir())


@pytest.mark.sqlite
def test_download_on_another_machine_names_the_one_with_the_file(
    app: Flask,
    meera: Browser,
    set_rows_at_once: Any,
    many_messages: Any,
    run_jobs: RunJobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many_messages(5)
    set_rows_at_once(1)
    job_id = create_export(meera)
    monkeypatch.setattr("socket.gethostname", lambda: "worker-7")
    run_jobs()
    shared = files.path_of(app.extensions["settings"], job_id, "csv")
    elsewhere = shared.rename(shared.parent.parent / "elsewhere.csv")
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")
    response = meera.get(f"/exports/files/{job_id}")
    assert response.status_code == 503
    assert (
        "It is on worker-7" in response.visible_text
        and "share the instance folder “exports”" in response.visible_text
    )
    for page in ("/exports", f"/jobs/{job_id}"):
        assert "The file is on worker-7." in meera.get(page).visible_text

    monkeypatch.setattr("socket.gethostname", lambda: "worker-7")
    removed = meera.get(f"/exports/files/{job_id}")
    assert removed.status_code == 404 and "removed from this machine" in removed.visible_text
    elsewhere.rename(shared)
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")
    assert meera.get(f"/exports/files/{job_id}").status_code == 200


@pytest.mark.sqlite
def test_canceled_export_leaves_no_file(
    app: Flask,
    database: Database,
    meera: Browser,
    set_rows_at_once: Any,
    many_messages: Any,
    run_jobs: RunJobs,
    monkeypatch: pytest.MonkeyPatch,
    session: Session,
) -> None:
    many_messages(1200)
    set_rows_at_once(1)
    job_id = create_export(meera, "/exports/webhooks.xlsx")
    source = sources.SOURCES["webhooks"]

    def cancel_meanwhile(*arguments: Any) -> Any:
        with database.writing() as writing:
            row = writing.get_one(Job, job_id)
            row.cancel_requested_by = "Meera"
            writing.commit()
        return source.page(*arguments)

    monkeypatch.setitem(sources.SOURCES, "webhooks", replace(source, page=cancel_meanwhile))
    run_jobs()
    job = session.get(Job, job_id)
    assert job and job.state is JobState.CANCELED
    assert not list((app.extensions["settings"].instance / files.FOLDER).iterdir())


@pytest.mark.sqlite
def test_cancellation_is_audited(
    meera: Browser, set_rows_at_once: Any, many_messages: Any, session: Session
) -> None:
    many_messages(5)
    set_rows_at_once(1)
    job_url = f"/jobs/{create_export(meera)}"
    meera.submit(job_url, f"{job_url}/cancel")
    columns = (AuditEntry.action, AuditEntry.actor, AuditEntry.object_name)
    entries = session.execute(select(*columns).order_by(AuditEntry.id.desc()).limit(2)).all()
    assert entries == [
        (AuditAction.CANCELED, "Meera", "Webhooks as CSV"),
        (AuditAction.EXPORTED, "Meera", "Webhooks as CSV"),
    ]


@pytest.mark.sqlite
def test_failed_export_leaves_no_partial_file_and_is_retried(
    app: Flask,
    meera: Browser,
    set_rows_at_once: Any,
    many_messages: Any,
    run_jobs: RunJobs,
    move_clock: MoveClock,
    monkeypatch: pytest.MonkeyPatch,
    session: Session,
) -> None:
    many_messages(1200)
    set_rows_at_once(1)
    job_id = create_export(meera, "/exports/webhooks.jsonl")
    encode, calls = formats.as_jsonl, itertools.count()

    def breaks(columns: Sequence[ExportColumn], batches: Any, zone: Any) -> Any:
        for chunk in encode(columns, batches, zone):
            yield chunk
            if next(calls) == 0:
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats, "as_jsonl", breaks)
    run_jobs()
    folder = app.extensions["settings"].instance / files.FOLDER
    assert not list(folder.iterdir())
    move_clock(minutes=2)
    run_jobs()
    session.rollback()
    job = session.get(Job, job_id)
    assert job and (job.state, job.done) == (JobState.DONE, 1200)
    assert len(read_jsonl(meera.get(f"/exports/files/{job_id}").data)) == 1200


def test_memory_does_not_grow_with_rows(
    meera: Browser, set_rows_at_once: Any, many_messages: Any, run_jobs: RunJobs, app: Flask
) -> None:
    many_messages(1_000)
    set_rows_at_once(1)

    def peak() -> int:
        create_export(meera)
        tracemalloc.start()
        run_jobs()
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    few = peak()
    many_messages(3_000)
    assert peak() < few + 700_000, "the rows alone would take five times that"
    newest = max((app.extensions["settings"].instance / files.FOLDER).iterdir(), key=lambda file: file.name)
    assert len(read_csv(newest.read_bytes())) == 4_000


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl"])
def test_formats_do_not_keep_written_rows(form: str, tmp_path: Path) -> None:
    columns = [ExportColumn("a"), ExportColumn("b", CellType.NUMBER)]

    def peak(count: int) -> int:
        batches = (
            [(f"{start + number} words", number) for number in range(500)] for start in range(0, count, 500)
        )
        tracemalloc.start()
        with (tmp_path / f"{count}.{form}").open("wb") as file:
            formats.write(file, form, columns, batches, None, "Rows")  # type: ignore[arg-type]
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(1_000)
    assert peak(10_000) < peak(2_000) + 300_000
    raw = (tmp_path / f"10000.{form}").read_bytes()
    assert (len(read_xlsx(raw)) - 1 if form == "xlsx" else len(READERS[form](raw))) == 10_000


def test_hostile_partner_text_does_not_break_a_file(
    meera: Browser, database: Database, partner: Partner, example_bodies: list[dict[str, Any]]
) -> None:
    body = json.loads(dumps(example_bodies[0]), parse_float=str)
    body["purchaseOrder"]["subject"] = "a\x01b\u202e</t>\ud83d\ude00 ]]> &amp;"
    with database.writing() as session:
        call = Call(Kind.REQ_SEND, "/")
        raw = json.dumps(body).encode()
        receive_message(session, partner.id, call, raw, Rules(10**6, timedelta(hours=1)))
        session.commit()
    assert len(read_csv(meera.get("/exports/inbound.csv").data)) == 1
    for source in ("orders", "inbound"):
        read_xlsx(meera.get(f"/exports/{source}.xlsx").data)
        read_jsonl(meera.get(f"/exports/{source}.jsonl").data)
