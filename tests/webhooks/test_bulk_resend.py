"""Bulk resend: the preview, the job and the report."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.db import Database
from app.delivery.models import (
    Attempt,
    CancelReason,
    CircuitBreaker,
    Message,
    MessageNote,
    MessageState,
    ResultFrom,
    Trigger,
)
from app.delivery.resend_blocker import ResendBlocker, resend_blocker
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.partners.models import Partner
from app.tasks.models import Job, JobState
from app.tasks.worker import Worker
from app.webhooks import resend_job as resends
from app.webhooks.models import ResendItem
from app.webhooks.resend_plan import Selection, candidates
from tests.fixture_types import Arrive, Confirm, ConfirmOrders, Deliver, MoveClock, PausePartner, RunJobs
from tests.people import Browser, fields_of, one
from tests.serving import Network

PLAN = "/webhooks/resends"


@pytest.fixture
def run_one_batch(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Run the job of a bulk resend, with a worker that is stopped during the first batch."""

    def run_one_batch() -> None:
        stop, request_batch = threading.Event(), resends.request_batch

        def request_and_stop(session: Session, job: Job) -> bool:
            stop.set()
            return request_batch(session, job)

        with monkeypatch.context() as patch:
            patch.setattr(resends, "request_batch", request_and_stop)
            Worker(database, {"resend": resends.run}).run_next(stop)

    return run_one_batch


@pytest.fixture
def request_batch(database: Database) -> Callable[[], bool]:
    """Request the next batch of the only bulk resend; returns whether more are left."""

    def request_batch() -> bool:
        with database.writing() as session:
            has_more = resends.request_batch(session, session.scalars(select(Job)).one())
            session.commit()
            return has_more

    return request_batch


def messages(session: Session) -> list[Message]:
    session.rollback()
    session.expire_all()
    return list(session.scalars(select(Message).order_by(Message.id)))


def states(session: Session) -> list[str]:
    return [message.state.value for message in messages(session)]


def set_states(database: Database, *wanted: MessageState, **more: Any) -> None:
    """Set the states of the messages, oldest first, each after one failed attempt."""
    with database.writing() as session:
        for message, state in zip(
            session.scalars(select(Message).order_by(Message.id)), wanted, strict=False
        ):
            message.state, message.next_at, message.finished_at = state, None, clock.now()
            message.reason, message.note_code = "timeout", MessageNote.ATTEMPT
            for name, value in more.items():
                setattr(message, name, value)
        session.commit()


@pytest.fixture
def fail_webhooks(confirm_orders: ConfirmOrders, database: Database) -> Callable[[int], None]:
    """Confirm orders, and let the webhooks fail."""

    def fail_webhooks(count: int) -> None:
        confirm_orders(count)
        set_states(database, *[MessageState.FAILED] * count)

    return fail_webhooks


def resend_all(browser: Browser, url: str, reason: str = "Partner recovered") -> Any:
    """Open the preview and submit it; returns the response and the preview."""
    page = browser.get(url)
    (form,) = page.page.select(f"form[method=post][action='{PLAN}']")
    return browser.send(PLAN, {**fields_of(form), "reason": reason}), page


def values_of(form: Any) -> dict[str, Any]:
    """The fields of a form, each with all its values."""
    values: dict[str, Any] = {}
    for control in form.select("input[name]"):
        values.setdefault(str(control["name"]), []).append(control.get("value", ""))
    return values


def outcomes(browser: Browser, url: str) -> dict[str, int]:
    """The counts of the report by the labels of its chips."""
    chips = browser.get(url).page.select("a.result-filter")[1:]
    return {one(chip, "span").get_text(): int(one(chip, "b").get_text()) for chip in chips}


def test_outage_of_two_hours_is_resent_and_reported(
    ravi: Browser,
    meera: Browser,
    confirm: Confirm,
    arrive: Arrive,
    deliver: Deliver,
    network: Network,
    session: Session,
    move_clock: MoveClock,
    run_jobs: Callable[[], bool],
) -> None:
    """Support finds the outage, resends everything since ten o'clock and reads the report."""
    orders = arrive(8)
    confirm(orders[0])
    deliver()  # before ten o'clock, delivery works
    ten = clock.now() + timedelta(minutes=1)
    move_clock(hours=1)
    network.behave("status", status=503)
    for order_id in orders[1:7]:
        confirm(order_id)
    for _ in range(12):  # two hours of failed attempts
        deliver()
        move_clock(minutes=10)
    assert states(session) == ["delivered", *["pending"] * 6]
    network.behave("ok")
    # Ravi finds the outage in the log and opens the preview.
    log_page = ravi.get("/webhooks?code=5xx")
    assert len(log_page.page.select("tbody tr:not(.log-group)")) == 6
    confirm(orders[7])
    url = f"{PLAN}?tried_since={ten:%Y-%m-%dT%H:%M}%2B00:00&partner=Bharat+Connect"
    done, plan = resend_all(ravi, url)
    assert "7 webhooks" in plan.visible_text and "will be resent" in plan.visible_text
    assert done.status_code == 303
    report = done.location
    assert outcomes(ravi, report) == {"Queued": 7}
    assert run_jobs()
    assert outcomes(ravi, report) == {"Sending": 7}
    assert ravi.get(report).page.select("[data-poll]")
    deliver()
    assert outcomes(meera, report) == {"Delivered": 7}
    page = meera.get(report)
    assert (
        not page.page.select("[data-poll]")
        and "Partner recovered" in page.visible_text
        and "Ravi" in page.visible_text
    )
    assert states(session) == ["delivered"] * 8
    accepted = [request for request in network.received() if request["answer"]["status"] == 200]
    assert len(accepted) == 8
    session.rollback()
    attempts = session.scalars(select(Attempt).where(Attempt.trigger == Trigger.BULK)).all()
    assert {(attempt.actor, attempt.request_reason) for attempt in attempts} == {
        ("Ravi", "Partner recovered")
    }
    assert {attempt.request_id for attempt in attempts} == {done.headers["X-Request-ID"]}
    assert len(attempts) == 7
    assert ravi.get("/webhooks?trigger=bulk").page.select("tbody tr")


def test_unsuccessful_resend_shows_the_attempt_and_the_state_of_the_webhook(
    ravi: Browser,
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    network: Network,
    run_jobs: Callable[[], bool],
) -> None:
    network.behave("status", status=503)
    confirm_orders(2)
    deliver()
    done, plan = resend_all(ravi, f"{PLAN}?state=pending")
    assert "Retrying: unavailable" in plan.visible_text
    run_jobs()
    deliver()
    report = ravi.get(done.location)
    assert outcomes(ravi, done.location) == {"Unsuccessful": 2}
    job_url = done.location.replace("/webhooks/resends/", "/jobs/")
    assert ravi.get(job_url).one("h1").get_text() == "Resend 2 webhooks"
    for page in (report, ravi.get(job_url), ravi.get("/jobs")):
        assert page.one(".job-line .state, .col-state .state").get_text() == "Done, 2 not delivered"
    assert "0 delivered, 2 unsuccessful" in report.visible_text
    for row in report.page.select("tbody tr"):
        before, resend, now = (cell.get_text(" ", strip=True) for cell in row.select("td[data-name]"))
        assert before == "Retrying"
        assert resend.startswith("Unsuccessful, 503 today ")
        assert resend.endswith("Partner returned 503 (unavailable).")
        assert now == "Retrying"


def test_list_of_jobs_counts_only_the_newest_resends(
    ravi: Browser,
    confirm_orders: ConfirmOrders,
    deliver: Deliver,
    network: Network,
    run_jobs: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.webhooks.resend_report.COUNTED_MAX", 3)
    network.behave("status", status=503)
    confirm_orders(2)
    deliver()
    for _ in range(2):
        resend_all(ravi, f"{PLAN}?state=pending")
        run_jobs()
        deliver()
    chips = [cell.get_text(strip=True) for cell in ravi.get("/jobs").page.select(".col-state .state")]
    assert chips == ["Done, 2 not delivered", "Done, see result"]


def test_report_keeps_the_state_before_the_resend(
    ravi: Browser, confirm_orders: ConfirmOrders, database: Database, pause_partner: PausePartner
) -> None:
    """States are those that the list of webhooks shows, also for a skipped webhook of a paused partner."""
    confirm_orders(3)
    set_states(database, MessageState.PENDING, MessageState.FAILED, attempts_made=2)
    done, _ = resend_all(ravi, f"{PLAN}?state=&partner=Bharat+Connect")
    pause_partner()
    rows = ravi.get(done.location).page.select("tbody tr")
    shown = [
        (one(row, ".col-before span").get_text(), one(row, ".col-now").get_text(strip=True)) for row in rows
    ]
    assert shown == [("Retrying", "Paused"), ("Failed", "Failed"), ("Queued", "Paused")]


def test_plan_lists_skipped_webhooks_with_reasons(
    ravi: Browser,
    confirm_orders: ConfirmOrders,
    database: Database,
    session: Session,
    deliver: Deliver,
    network: Network,
    run_jobs: Callable[[], bool],
) -> None:
    confirm_orders(6)
    s = MessageState
    set_states(database, s.FAILED, s.DELIVERED, s.CANCELED, s.FAILED, s.FAILED, s.FAILED)
    with database.writing() as writing:
        rows = writing.scalars(select(Message).order_by(Message.id)).all()
        rows[3].cancel_requested = CancelReason.ORDER_CHANGED
        rows[4].order_id, rows[4].decision_number = rows[0].order_id, 0
        writing.commit()
    url = PLAN + "?" + "&".join(f"ids={message.id}" for message in messages(session))
    plan = ravi.get(url)
    words = plan.visible_text
    assert "2 webhooks will be resent" in words and "4 webhooks skipped" in words
    for why in ("The partner has already received it.", "It was canceled", "newer response"):
        assert why in words, why
    (form,) = plan.page.select(f"form[method=post][action='{PLAN}']")
    done = ravi.send(PLAN, {**values_of(form), "reason": "Partner recovered"})
    assert run_jobs()
    deliver()
    assert outcomes(ravi, done.location) == {"Delivered": 2, "Skipped": 4}
    skipped = ravi.get(done.location + "?only=skipped")
    assert len(skipped.page.select("tbody tr")) == 4
    assert "The partner has already received it." in skipped.visible_text


def test_bulk_resend_blockers_equal_those_of_a_single_resend(
    confirm_orders: ConfirmOrders, database: Database, session: Session, partner: Partner
) -> None:
    """The SQL of the preview and ``resend_blocker`` agree on every message."""
    confirm_orders(4)
    chosen = Selection(ids=tuple(message.id for message in messages(session)))
    kinds: dict[str, Any] = {
        "result_from": [None, ResultFrom.RESPONSE, ResultFrom.RESP_CONFIRM],
        "cancel_requested": [None, CancelReason.ORDER_CHANGED],
        "trigger": [Trigger.AUTO, Trigger.MANUAL],
        "lease_until": [None, clock.now() + timedelta(minutes=1)],
    }
    with database.writing() as writing:
        rows = writing.scalars(select(Message).order_by(Message.id)).all()
        rows[3].order_id, rows[3].decision_number = rows[2].order_id, 2
        writing.add(
            Attempt(message_id=rows[0].id, number=1, trigger=Trigger.AUTO, url="", started_at=clock.now())
        )
        rows[2].state = rows[3].state = MessageState.FAILED
        combinations = itertools.product(MessageState, *kinds.values())
        # Every fifth combination has every pair of values, and one kind of database has tried them all.
        for state, *values in itertools.islice(combinations, 0, None, 5 if database.is_postgresql else 1):
            for row in rows[:2]:
                row.state, row.result_from, row.cancel_requested, row.trigger, row.lease_until = (
                    state,
                    *values,
                )
            writing.flush()
            for include_delivered in (False, True):
                selection = replace(chosen, include_delivered=include_delivered)
                selected, _ = candidates(writing, None, selection)
                by_plan = {row.id: row.blocker for row in writing.execute(select(selected))}
                by_message = [
                    resend_blocker(writing, row, include_delivered=include_delivered) or ""
                    for row in rows[:2]
                ]
                assert [by_plan[row.id] for row in rows[:2]] == by_message, (state, values, include_delivered)
                assert (by_plan[rows[3].id], by_plan[rows[2].id]) == ("", ResendBlocker.SUPERSEDED)
        assert not resend_blocker(writing, rows[3])
        assert resend_blocker(writing, rows[2]) is ResendBlocker.SUPERSEDED


def test_bulk_resend_of_a_filter_resends_all_matching(
    ravi: Browser,
    confirm_orders: ConfirmOrders,
    database: Database,
    session: Session,
    deliver: Deliver,
    run_jobs: RunJobs,
    network: Network,
) -> None:
    confirm_orders(4)
    set_states(
        database, MessageState.FAILED, MessageState.FAILED, MessageState.FAILED, MessageState.DELIVERED
    )
    link = ravi.get("/webhooks?state=failed").one(".selection-bar .end a[href*='state=failed']")
    done, plan = resend_all(ravi, str(link["href"]))
    assert "3 webhooks" in plan.visible_text and "Failed: timed out" in plan.visible_text
    assert run_jobs()
    deliver()
    assert outcomes(ravi, done.location) == {"Delivered": 3}
    assert session.scalars(select(Job.state)).one() is JobState.DONE


@pytest.mark.sqlite
def test_bulk_resend_requires_a_reason_and_a_selection(
    ravi: Browser, fail_webhooks: Any, session: Session
) -> None:
    fail_webhooks(1)
    assert "Recover from outage" in ravi.get(PLAN).visible_text
    assert resend_all(ravi, f"{PLAN}?state=failed", reason="  ")[0].status_code == 422
    (form,) = ravi.get(f"{PLAN}?state=failed").page.select(f"form[method=post][action='{PLAN}']")
    token = fields_of(form)["csrf_token"]
    assert ravi.send(PLAN, {"csrf_token": token, "reason": "All"}).status_code == 422
    assert ravi.send(PLAN, {"csrf_token": token, "reason": "x", "ids": "msg_none"}).status_code == 409
    for query in ("tried_since=soon", "code=9", "ids=", "ids=%27", "state=odd"):
        assert ravi.get(f"{PLAN}?{query}").status_code == 200, query
    assert session.scalars(select(Job)).all() == []
    assert states(session) == ["failed"]


def test_bulk_resend_resumes_after_a_restart(
    ravi: Browser,
    fail_webhooks: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    run_one_batch: Any,
    run_jobs: RunJobs,
    deliver: Deliver,
) -> None:
    fail_webhooks(5)
    monkeypatch.setattr(resends, "BATCH", 2)
    done, _ = resend_all(ravi, f"{PLAN}?state=failed")
    run_one_batch()
    assert outcomes(ravi, done.location) == {"Sending": 2, "Queued": 3}
    assert run_jobs()
    assert outcomes(ravi, done.location) == {"Sending": 5}
    deliver()
    session.rollback()
    assert len(session.scalars(select(Attempt)).all()) == 5


@pytest.mark.sqlite
def test_bulk_resend_can_be_canceled(
    ravi: Browser,
    fail_webhooks: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    run_one_batch: Any,
    run_jobs: RunJobs,
    deliver: Deliver,
) -> None:
    fail_webhooks(3)
    monkeypatch.setattr(resends, "BATCH", 1)
    done, _ = resend_all(ravi, f"{PLAN}?state=failed")
    run_one_batch()
    (form,) = ravi.get(done.location).page.select("form[action$='/cancel']")
    ravi.send(str(form["action"]), fields_of(form))
    assert not run_jobs()
    deliver()
    assert outcomes(ravi, done.location) == {"Delivered": 1, "Not sent": 2}
    assert states(session) == ["delivered", "failed", "failed"]


@pytest.mark.sqlite
def test_unresponsive_partner_gets_one_webhook_at_a_time_until_it_responds(
    ravi: Browser,
    fail_webhooks: Any,
    database: Database,
    session: Session,
    partner: Partner,
    request_batch: Any,
    deliver: Deliver,
) -> None:
    fail_webhooks(4)
    with database.writing() as writing:
        writing.add(CircuitBreaker(partner_id=partner.id, opened_at=clock.now(), probe_at=clock.now()))
        writing.commit()
    resend_all(ravi, f"{PLAN}?state=failed")

    assert request_batch() and states(session).count("pending") == 1
    assert request_batch() and states(session).count("pending") == 1  # the first has not been sent yet
    deliver()
    assert states(session).count("delivered") == 1
    assert not request_batch()
    assert states(session).count("pending") == 3


@pytest.mark.sqlite
def test_waiting_bulk_resend_does_not_block_other_jobs(
    ravi: Browser,
    fail_webhooks: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    run_jobs: RunJobs,
    deliver: Deliver,
    move_clock: MoveClock,
) -> None:
    fail_webhooks(3)
    monkeypatch.setattr(resends, "REQUESTED_MAX", 1)
    done, _ = resend_all(ravi, f"{PLAN}?state=failed")
    assert run_jobs()
    job = session.scalars(select(Job)).one()
    assert (job.state, job.done, job.lease_token) == (JobState.RUNNING, 1, None)
    assert "Waiting until the requested webhooks are sent" in ravi.get(done.location).visible_text
    assert not run_jobs()
    for _ in range(2):
        deliver()
        move_clock(seconds=resends.CHECK_AGAIN_SECONDS + 1)
        assert run_jobs()
    deliver()
    assert outcomes(ravi, done.location) == {"Delivered": 3}


def test_bulk_resend_requests_no_more_than_the_limit_per_partner(
    ravi: Browser,
    fail_webhooks: Any,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    request_batch: Any,
    deliver: Deliver,
) -> None:
    fail_webhooks(5)
    monkeypatch.setattr(resends, "REQUESTED_MAX", 2)
    resend_all(ravi, f"{PLAN}?state=failed")

    assert request_batch() and states(session).count("pending") == 2
    assert request_batch() and states(session).count("pending") == 2
    deliver()
    assert request_batch() and states(session).count("pending") == 2


@pytest.mark.sqlite
def test_start_of_an_outage_is_suggested_while_a_partner_is_failing(
    ravi: Browser, confirm_orders: ConfirmOrders, network: Network, deliver: Deliver, move_clock: MoveClock
) -> None:
    def suggested(query: str = "") -> str:
        return str(ravi.get(PLAN + query).one("#tried_since")["value"])

    assert suggested() == ""
    confirm_orders(3)
    network.behave("503")
    deliver()
    began = clock.now().astimezone(ZoneInfo("Asia/Kolkata"))
    move_clock(minutes=20)
    assert suggested() == suggested("?partner=Bharat+Connect") == f"{began:%Y-%m-%dT%H:%M}"
    assert suggested("?partner=other") == ""


@pytest.mark.sqlite
def test_paused_webhook_says_when_it_is_sent(
    ravi: Browser, confirm_orders: ConfirmOrders, pause_partner: PausePartner
) -> None:
    confirm_orders(1)
    pause_partner()
    page = ravi.get("/webhooks")
    assert "Sent when the partner is resumed." in page.visible_text
    webhook = ravi.get(str(page.one("td.col-order a")["href"]))
    assert "It is sent even though the partner is paused." in webhook.one("#reason-help").get_text()


@pytest.mark.sqlite
def test_preview_without_webhooks_says_so(ravi: Browser) -> None:
    assert "No webhooks to resend." in ravi.get(f"{PLAN}?state=failed").visible_text


@pytest.mark.sqlite
def test_bulk_resend_skips_paused_partners(
    ravi: Browser, fail_webhooks: Any, pause_partner: PausePartner
) -> None:
    fail_webhooks(1)
    pause_partner()
    assert "Resume it first" in ravi.get(f"{PLAN}?state=failed").visible_text


@pytest.mark.sqlite
def test_delivered_webhooks_are_resent_only_with_the_permission(
    ravi: Browser,
    admin: Browser,
    asha: Browser,
    order_id: int,
    message_id: str,
    deliver: Deliver,
    network: Network,
    session: Session,
    run_jobs: RunJobs,
) -> None:
    deliver()
    url = f"{PLAN}?ids={message_id}&delivered=1"
    assert "None of these webhooks can be resent" in ravi.get(url).visible_text
    assert not ravi.get(f"/webhooks/{message_id}").page.select("a[href*='delivered=1']")
    link = admin.get(f"/webhooks/{message_id}").one("a[href*='delivered=1']")
    network.behave("refuse", times=1, error_cd="BPR038", error_dtl="Known already")
    done, plan = resend_all(admin, str(link["href"]), "Lost by the partner")
    assert "a second time" in plan.visible_text
    assert run_jobs()
    deliver()
    # The partner refuses the second copy, but it already has the first.
    assert states(session) == ["delivered"]
    assert outcomes(admin, done.location) == {"Refused": 1}
    assert asha.get(f"/orders/{order_id}.json").get_json()["delivery"] == "delivered"
    assert [row.attempts_made for row in messages(session)] == [2]


@pytest.mark.sqlite
def test_reader_without_the_permission_cannot_bulk_resend(
    meera: Browser, asha: Browser, confirm_orders: ConfirmOrders
) -> None:
    confirm_orders(1)
    for browser in (meera, asha):
        assert not browser.get("/webhooks").page.select("#selection, .col-select")
        assert browser.get(PLAN).status_code == 403


def test_resend_command_creates_the_same_report(
    app: Flask,
    ravi: Browser,
    confirm_orders: ConfirmOrders,
    database: Database,
    session: Session,
    deliver: Deliver,
) -> None:
    confirm_orders(3)
    set_states(database, MessageState.FAILED, MessageState.FAILED, MessageState.DELIVERED)
    since = "2020-01-01"
    ran = app.test_cli_runner().invoke(args=["resend", "--since", since, "--reason", "After the night"])
    assert "resent=2 skipped=0" in ran.output, ran.output
    deliver()
    session.rollback()
    (job,) = session.scalars(select(Job)).all()
    assert (job.state, job.created_by, job.reason) == (JobState.DONE, "the command line", "After the night")
    assert outcomes(ravi, f"{PLAN}/{job.id}") == {"Delivered": 2}
    assert len(session.scalars(select(ResendItem)).all()) == 2


def test_outage_includes_recent_earlier_webhooks_and_no_old_ones(
    ravi: Browser, confirm: Confirm, arrive: Arrive, deliver: Deliver, network: Network, move_clock: MoveClock
) -> None:
    orders = arrive(2)
    network.behave("status", status=503)
    confirm(orders[0])
    deliver()
    move_clock(seconds=sum(DEFAULT_SCHEDULE) * 2)
    before_the_outage = clock.now()
    confirm(orders[1])
    plan = ravi.get(f"{PLAN}?tried_since={before_the_outage:%Y-%m-%dT%H:%M:%S}%2B00:00")
    assert "1 webhook will be resent" in plan.visible_text
    deliver()  # the older webhook is retried during the outage, so it is included
    plan = ravi.get(f"{PLAN}?tried_since={before_the_outage:%Y-%m-%dT%H:%M:%S}%2B00:00")
    assert "2 webhooks will be resent" in plan.visible_text
