"""Emails: one per event, in its transaction, whatever the mail server does."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.audit import seals, trail
from app.audit.models import AuditAction, AuditEntry, AuditObject
from app.background import worker
from app.clock import now
from app.config import Settings
from app.db import Database
from app.delivery import circuit_breaker, notifications
from app.delivery.models import Message, MessageState
from app.orders.models import PurchaseOrder
from app.partners import service as partner_service
from app.partners.models import Partner, PauseCode
from app.reports import digests
from app.tasks import mail_sender as sending
from app.tasks import smtp
from app.tasks.mail import RETRY_WAITS, Topic, enqueue, mail_line
from app.tasks.models import MAIL, JobState, Task
from app.tasks.smtp import MailResult, Server
from tests.fixture_types import Arrive, Confirm, ConfirmOrders, Deliver, MoveClock, Resend
from tests.people import Browser
from tests.serving import Network
from tests.tasks.mail_server import MailServer

pytestmark = pytest.mark.sqlite

Send = Callable[[], int]


def mails(session: Session) -> list[Task]:
    session.rollback()
    session.expire_all()
    return list(
        session.scalars(
            select(Task).where(Task.kind.startswith(MAIL)).order_by(Task.created_at, Task.id)
        ).all()
    )


def queue_mail(database: Database, subject: str = "Subject", body: str = "It happened.\n") -> None:
    with database.writing() as session:
        enqueue(session, Topic.PAUSED, subject, body)
        session.commit()


def send_mail(server: Server, deadline: float = 5) -> MailResult:
    """Send a mail to one recipient."""
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "po@supplier.example", "x"
    mail.set_content("x")
    return smtp.send(server, mail, ["a@b.example"], deadline=deadline)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("held\r\nBcc: evil@example", "held Bcc: evil@example"),
        ("a\u2028b\x85c  d", "a b c d"),
        ("\u202eabc\u202c \u2066d\u2069", "abc d"),
        ("क्\u200dष", "क्\u200dष"),
    ],
)
def test_mail_line_drops_line_breaks_and_overrides_and_keeps_joiners(text: str, line: str) -> None:
    assert mail_line(text) == line


def test_mail_arrives_complete(
    database: Database, send: Send, mail_server: MailServer, session: Session
) -> None:
    queue_mail(database, "₹ held\r\nBcc: evil@example", ".\n..two\n" + "long " * 300)
    assert send() == 1
    (received,) = mail_server.received
    assert received.sender == "po@supplier.example"
    assert received.to == ["ravi@supplier.example", "meera@supplier.example"]
    assert received.message["Subject"] == "PO Confirm: ₹ held Bcc: evil@example"
    assert received.message["Bcc"] is None and received.message["Auto-Submitted"] == "auto-generated"
    assert received.message["Message-ID"].endswith("@supplier.example>")
    body = received.message.get_content().replace("\r\n", "\n")
    assert body.startswith(".\n..two\n") and body.count("long") == 300
    (mail,) = mails(session)
    assert (mail.state, mail.attempts) == (JobState.DONE, 1)
    assert send() == 0 and len(mail_server.received) == 1


def test_rolled_back_event_sends_no_mail(
    database: Database, send: Send, mail_server: MailServer, session: Session
) -> None:
    with database.writing() as writing:
        enqueue(writing, Topic.PAUSED, "no", "no")
        writing.rollback()
    assert send() == 0 and not mails(session)


@pytest.mark.parametrize(
    "replies",
    [
        {"greeting": "421 not now"},
        {"greeting": "554 go away"},
        {"greeting": "drop"},
        {"EHLO": "drop"},
        {"MAIL": "451 later"},
        {"MAIL": "550 not from you"},
        {"RCPT": "450 greylisted"},
        {"DATA": "451 later"},
        {"DATA": "drop"},
        {"end": "452 disk full"},
        {"end": "drop"},
    ],
    ids=lambda replies: " ".join(f"{command}={reply}" for command, reply in replies.items()),
)
def test_temporarily_rejected_mail_is_retried_with_the_same_id(
    database: Database,
    send: Send,
    mail_server: MailServer,
    session: Session,
    move_clock: MoveClock,
    replies: dict[str, str],
) -> None:
    queue_mail(database)
    mail_server.replies = replies
    assert send() == 0
    (mail,) = mails(session)
    assert not mail.is_finished and mail.error and not mail.cursor["finished"]
    assert send() == 0 and mail_server.connections == 1, "it waits"
    mail_server.replies = {}
    move_clock(seconds=61)
    assert send() == 1
    assert (
        mail_server.received[-1].message["Message-ID"]
        == f"<{mail.parameters['message_id']}@supplier.example>"
    )
    assert mails(session)[0].state is JobState.DONE


def test_unknown_recipient_does_not_block_others(
    database: Database, send: Send, mail_server: MailServer, session: Session
) -> None:
    queue_mail(database)
    mail_server.replies = {"RCPT ravi@supplier.example": "550 who?"}
    # Only the reply for this address is replaced.
    assert send() == 1
    assert mail_server.received[0].to == ["meera@supplier.example"]
    (mail,) = mails(session)
    assert mail.state is JobState.DONE and "550 who?" in mail.error


def test_mail_is_retried_only_for_missing_recipients(
    database: Database, send: Send, mail_server: MailServer, move_clock: MoveClock
) -> None:
    queue_mail(database)
    mail_server.replies = {"RCPT ravi@supplier.example": "450 later"}
    assert send() == 0
    assert mail_server.received[0].to == ["meera@supplier.example"]
    mail_server.replies = {}
    move_clock(seconds=61)
    assert send() == 1
    assert [mail.to for mail in mail_server.received] == [
        ["meera@supplier.example"],
        ["ravi@supplier.example"],
    ]


def test_permanently_rejected_mail_is_given_up(
    database: Database, send: Send, mail_server: MailServer, session: Session, move_clock: MoveClock
) -> None:
    queue_mail(database)
    mail_server.replies = {"end": "554 spam"}
    assert send() == 0
    assert mails(session)[0].state is JobState.FAILED
    assert "554 spam" in mails(session)[0].error


def test_mail_to_an_unreachable_server_is_given_up_after_all_retries(
    database: Database, send: Send, mail_server: MailServer, session: Session, move_clock: MoveClock
) -> None:
    queue_mail(database)
    mail_server.close()
    for _ in range(len(RETRY_WAITS) + 1):
        send()
        move_clock(days=2)
    (mail,) = mails(session)
    assert (mail.state, mail.attempts) == (JobState.FAILED, len(RETRY_WAITS) + 1)


@pytest.mark.parametrize("command", ["greeting", "EHLO", "DATA", "end"])
@pytest.mark.parametrize("how", ["silence", "drip"])
def test_slow_mail_server_is_cut_off(mail_server: MailServer, command: str, how: str) -> None:
    mail_server.replies = {command: how}
    result = send_mail(Server("smtp+plain", "127.0.0.1", mail_server.port), deadline=0.3)
    assert not result.accepted and not result.rejected
    assert "too long" in result.error or "timed out" in result.error


def test_failing_mail_server_gets_one_mail_at_a_time(
    database: Database, send: Send, mail_server: MailServer
) -> None:
    for _ in range(5):
        queue_mail(database)
    mail_server.replies = {"greeting": "421 not now"}
    assert send() == 0
    assert mail_server.connections == 1


def test_two_mail_senders_send_each_mail_once(
    database: Database, send: Send, mail_server: MailServer
) -> None:
    for number in range(8):
        queue_mail(database, f"mail {number}")
    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subjects = sorted(mail.message["Subject"] for mail in mail_server.received)
    assert subjects == [f"PO Confirm: mail {number}" for number in range(8)]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_over_tls_requires_a_trusted_certificate(
    scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = MailServer(tls=context, implicit=scheme == "smtps")
    mail_host = Server(scheme, "localhost", server.port, "ravi", "pass word")
    refused = send_mail(mail_host)
    assert not refused.accepted and "certificate" in refused.error.lower()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert send_mail(mail_host).accepted == {"a@b.example"}
    (received,) = server.received
    assert received.secured and received.signed_in
    server.close()


def test_mail_without_tls_is_sent_only_if_configured(mail_server: MailServer) -> None:
    assert not send_mail(Server("smtp", "127.0.0.1", mail_server.port, "ravi", "secret")).accepted
    assert not mail_server.received


def test_mail_that_cannot_be_composed_does_not_block_others(
    database: Database, send: Send, mail_server: MailServer, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_mail(database, "bad")
    queue_mail(database, "good")
    compose = sending._compose

    def compose_or_fail(parameters: Any, *more: Any) -> EmailMessage:
        if parameters["subject"] == "bad":
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")
        return compose(parameters, *more)

    monkeypatch.setattr(sending, "_compose", compose_or_fail)
    assert send() == 1
    assert [mail.state for mail in mails(session)] == [JobState.FAILED, JobState.DONE]


def test_mail_command_sends_a_test(app: Flask, mail_server: MailServer, session: Session) -> None:
    sent = app.test_cli_runner().invoke(args=["alerts", "test"])
    assert sent.exit_code == 0 and "meera@supplier.example: sent" in sent.output
    assert len(mail_server.received) == 1 and not mails(session)
    mail_server.replies = {"greeting": "421 not now"}
    failed = app.test_cli_runner().invoke(args=["alerts", "test"])
    assert failed.exit_code == 1 and "421" in failed.output and "not sent" in failed.output


# --- The events that send mail


def test_wrong_key_pauses_once_and_sends_one_mail(
    confirm_orders: ConfirmOrders,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    session: Session,
    ravi: Browser,
) -> None:
    confirm_orders(6)
    network.behave("status", status=401)
    for _ in range(3):
        deliver()
        move_clock(minutes=1)
    partner = session.scalars(select(Partner)).one()
    assert partner.paused
    assert [mail.kind.removeprefix(MAIL) for mail in mails(session)] == ["held"]
    actions = session.execute(select(AuditEntry.action, AuditEntry.actor)).all()
    assert actions.count(("held", "")) == 1
    url = f"/partners/{partner.id}"
    ravi.submit(url, f"{url}/resume", reason="They took the key")
    assert [mail.kind.removeprefix(MAIL) for mail in mails(session)] == ["held", "recovered"]
    assert "Resumed by Ravi. “They took the key”" in mails(session)[-1].parameters["body"]


def test_manual_pause_sends_no_mail(database: Database, partner: Partner, session: Session) -> None:
    with database.writing() as writing:
        row = writing.get(Partner, partner.id)
        assert row
        partner_service.pause(writing, row, "they move", by="Ravi")
        partner_service.resume(writing, row)
        writing.commit()
    assert not mails(session)


def test_items_that_need_attention_are_sent_as_one_mail(
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    send: Send,
    mail_server: MailServer,
    session: Session,
) -> None:
    network.behave("status", status=422)
    for order_id in arrive(3):
        confirm(order_id)
        deliver()
    assert [mail.kind.removeprefix(MAIL) for mail in mails(session)] == ["attention"]
    assert send() == 0, "it waits for more items"
    move_clock(minutes=6)
    assert send() == 1
    (received,) = mail_server.received
    assert received.message["Subject"] == "PO Confirm: 3 webhooks need attention"
    assert received.message.get_content().casefold().count("refused") >= 3
    move_clock(minutes=10)
    assert send() == 0, "sent once"


def test_event_settled_before_sending_sends_no_mail(
    message_id: str,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    send: Send,
    mail_server: MailServer,
    session: Session,
    resend: Resend,
) -> None:
    network.behave("status", status=422, times=1)
    deliver()
    resend(message_id)
    deliver()
    move_clock(minutes=6)
    assert send() == 0
    assert [mail.state for mail in mails(session)] == [JobState.CANCELED]
    assert not mail_server.received


INJECTED = "PO 1\r\n\n* PO 2: Delivered\u2028Bcc: x@example\x85end"


def test_partner_text_with_line_breaks_writes_no_lines_of_its_own(
    database: Database,
    settings: Settings,
    arrive: Arrive,
    confirm: Confirm,
    session: Session,
    move_clock: MoveClock,
) -> None:
    responded, unanswered = arrive(2)
    message_id = confirm(responded)
    with database.writing() as writing:
        message, order = writing.get_one(Message, message_id), writing.get_one(PurchaseOrder, unanswered)
        message.buyer_po_number = order.buyer_po_number = order.buyer_name = INJECTED
        message.state = MessageState.REFUSED
        partner = writing.get_one(Partner, message.partner_id)
        partner.name = INJECTED
        notifications.notify_paused(writing, partner.id, PauseCode.GONE, {"url": INJECTED})
        notifications.notify_failing(writing, partner.id, 3)
        notifications.notify_recovered(writing, partner.id, now())
        partner.paused_at, partner.pause_code = now(), PauseCode.GONE
        partner_service.resume(writing, partner, INJECTED, by=INJECTED)
        writing.commit()
    bodies = [mail.parameters["body"] for mail in mails(session)]
    move_clock(days=3)
    for mail in (digests.attention_mail(session), digests.deadlines_mail(session, settings)):
        assert mail
        bodies.append(mail[1])
    assert len(bodies) == 6
    for body in bodies:
        lines = re.split("[\r\n\u2028\x85]", body)
        assert any("PO 1 * PO 2: Delivered Bcc: x@example end" in line for line in lines), body
        assert not [line for line in lines if line.startswith(("* PO 2", "Bcc", "end"))], body


def test_deadlines_are_one_digest_a_day(
    database: Database,
    settings: Settings,
    arrive: Arrive,
    move_clock: MoveClock,
    send: Send,
    mail_server: MailServer,
) -> None:
    arrive(25)
    local = now().astimezone(settings.time_zone)
    # 9:00 on the day after tomorrow: all are overdue, at any time of the test run.
    move_clock(seconds=(57 - local.hour) * 3600 - local.minute * 60)
    assert [digests.queue_digest(database, settings) for _ in range(3)] == [True, False, False]
    assert send() == 1
    (received,) = mail_server.received
    assert received.message["Subject"] == "PO Confirm: More than 20 orders need a response"
    assert "(overdue)" in received.message.get_content()
    move_clock(days=1)
    assert digests.queue_digest(database, settings)
    hourly = settings.model_copy(update={"alert_deadlines": "hourly"})
    move_clock(hours=1)
    assert [digests.queue_digest(database, hourly) for _ in range(2)] == [True, False]
    off = settings.model_copy(update={"alert_deadlines": "off"})
    move_clock(days=1)
    assert not digests.queue_digest(database, off)


def test_link_in_a_mail_changes_nothing(
    arrive: Arrive,
    confirm: Confirm,
    network: Network,
    deliver: Deliver,
    move_clock: MoveClock,
    send: Send,
    mail_server: MailServer,
    session: Session,
    database: Database,
    settings: Settings,
    ravi: Browser,
) -> None:
    network.behave("status", status=401)
    ids = arrive(6)
    for order_id in ids[:5]:
        confirm(order_id)
    deliver()
    network.behave("status", status=422)
    with database.writing() as writing:
        partner_service.resume(writing, writing.scalars(select(Partner)).one())
        writing.commit()
    move_clock(days=2)
    deliver()
    digests.queue_digest(database, settings.model_copy(update={"alert_deadlines": "hourly"}))
    move_clock(minutes=6)
    assert send() == 4
    texts = [mail.message.get_content() for mail in mail_server.received]
    links = [link for text in texts for link in re.findall(r"https?://\S+", text)]
    assert len(links) == 4 and all(link.startswith("https://po.supplier.example/") for link in links)
    queries = (
        select(func.count()).select_from(AuditEntry),
        select(func.count()).where(Message.state == "refused"),
        select(Partner.paused_at),
        select(func.count()).where(PurchaseOrder.response == "none"),
    )
    session.rollback()
    before = [session.execute(query).all() for query in queries]
    for link in links:
        assert ravi.get(link.removeprefix("https://po.supplier.example")).status_code == 200
    session.rollback()
    assert [session.execute(query).all() for query in queries] == before


def test_worker_sends_mail_and_seals_automatically(
    database: Database, settings: Settings, mail_server: MailServer, session: Session
) -> None:
    with database.writing() as writing:
        trail.record(writing, AuditAction.ANNOUNCED, AuditObject.PARTNER, 1)
        writing.commit()
    queue_mail(database)
    tasks = worker(database, settings)
    while tasks.run_next():
        pass
    assert len(mail_server.received) == 1
    assert seals.verify(session).seals == 1
    errors = session.scalars(select(Task.error).where(Task.error != "")).all()
    assert not errors


def test_partner_that_keeps_failing_sends_one_mail(
    database: Database, partner: Partner, session: Session
) -> None:
    limits = circuit_breaker.Limits(4, None)
    failed_attempt = circuit_breaker.EndedAttempt(
        partner.id, limits, got_response=False, was_probe=False, was_suspect=False
    )
    with database.writing() as writing:
        circuit_breaker.create_missing(writing, [partner.id])
        for _ in range(20):
            circuit_breaker.record_attempts(writing, [failed_attempt], now())
        writing.commit()
    assert [mail.kind.removeprefix(MAIL) for mail in mails(session)] == ["failing"]


def test_smtp_repr_hides_the_password() -> None:
    server = Server.at("smtps://ravi:pass%20word@mail.example")
    assert (server.port, server.user, server.password) == (465, "ravi", "pass word")
    assert "pass" not in repr(server)
