"""Notifications: who gets which, the bell and its page, emails at once or as a digest, and preferences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.config import Settings
from app.db import Database
from app.notifications.models import Category, EmailTiming, Event, Notification
from app.notifications.preferences import DEFAULTS, NotificationPreferences
from app.notifications.service import notify, send_digests
from app.orders.deadlines import notify_near_deadlines
from app.tasks.models import MAIL, Task
from tests.fixture_types import Arrive, Confirm, Deliver, MoveClock
from tests.people import PASSWORD, Browser
from tests.serving import Network

pytestmark = pytest.mark.sqlite

BELL = "#n-notifications"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings in which mail is on."""
    return Settings.load(
        instance=tmp_path,
        database_url=database_url,
        secret_key="only for these tests",
        smtp_url="smtp+plain://127.0.0.1:9",
        mail_from="po@supplier.example",
        mail_to="alerts@supplier.example",
        public_url="https://po.supplier.example",
    )


def person_of(session: Session, username: str) -> Person:
    return session.scalars(select(Person).where(Person.username == username)).one()


def events_of(session: Session, username: str) -> list[Event]:
    session.rollback()
    session.expire_all()
    rows = select(Notification.event).join(Person, Person.id == Notification.person_id)
    return list(session.scalars(rows.where(Person.username == username).order_by(Notification.id)))


def mails(session: Session) -> list[Task]:
    session.rollback()
    session.expire_all()
    kind = f"{MAIL}notification"
    return list(session.scalars(select(Task).where(Task.kind == kind).order_by(Task.created_at, Task.id)))


def add(database: Database, event: Event, title: str = "KAV/1", path: str = "/orders") -> None:
    """Notify Asha, who has a mail address."""
    with database.writing() as session:
        asha = person_of(session, "asha")
        asha.mail_address = "asha@supplier.example"
        notify(session, [asha], event, title=title, path=path, by="Meera")
        session.commit()


def bell(browser: Browser) -> str:
    return str(browser.get("/").one(BELL).get_text(strip=True))


def test_new_order_notifies_staff_of_its_supplier(arrive: Arrive, session: Session) -> None:
    arrive(1)
    assert events_of(session, "asha") == [Event.ORDER_RECEIVED]
    assert not events_of(session, "meera")


def test_refused_response_notifies_supplier_and_outage_notifies_support(
    arrive: Arrive, confirm: Confirm, network: Network, deliver: Deliver, session: Session
) -> None:
    first, *others = arrive(4)
    network.behave("refuse", times=1, error_cd="BPR012", error_dtl="Not acceptable")
    confirm(first)
    deliver()
    assert Event.RESPONSE_REFUSED in events_of(session, "asha")
    for order_id in others:
        confirm(order_id)
    network.behave("status", status=503)
    deliver()
    assert events_of(session, "ravi") == [Event.PARTNER_FAILING]
    # The staff whose webhooks wait, with a page that they may open.
    assert events_of(session, "asha").count(Event.PARTNER_FAILING) == 1
    paths = select(Notification.path).where(Notification.event == Event.PARTNER_FAILING)
    assert "/webhooks?partner=Bharat%20Connect" in session.scalars(paths).all()


def test_automatic_pause_notifies_support_and_staff_once(
    arrive: Arrive, confirm: Confirm, network: Network, deliver: Deliver, session: Session
) -> None:
    ids = arrive(4)
    network.behave("status", status=401)
    for order_id in ids:
        confirm(order_id)
    deliver()
    for username in ("ravi", "asha"):
        assert events_of(session, username).count(Event.PARTNER_PAUSED) == 1


def test_near_deadline_notifies_once(
    database: Database, arrive: Arrive, move_clock: MoveClock, session: Session
) -> None:
    arrive(1)
    assert notify_near_deadlines(database) == 0
    move_clock(hours=21)
    assert notify_near_deadlines(database) == 1
    assert notify_near_deadlines(database) == 0
    assert events_of(session, "asha").count(Event.DEADLINE_NEAR) == 1


def test_bell_counts_unread_and_links_change_nothing(
    database: Database, asha: Browser, omar: Browser
) -> None:
    add(database, Event.ASSIGNED)
    add(database, Event.MENTIONED, title="<b>KAV/2</b>")
    page = asha.get("/notifications")
    assert bell(asha) == "2"
    assert "Meera assigned KAV/1 to you" in page.visible_text and "<b>KAV/2</b>" in page.visible_text
    asha.get(page.page.select(".attention-item a")[0]["href"])
    assert bell(asha) == "2"
    assert bell(omar) == "" and not omar.get("/notifications").page.select(".attention-item")


def test_bell_stops_counting_at_99(database: Database, asha: Browser) -> None:
    with database.writing() as session:
        person = person_of(session, "asha")
        for number in range(100):
            notify(session, [person], Event.ASSIGNED, title=f"KAV/{number}", path="/orders", by="Meera")
        session.commit()
    assert bell(asha) == "99+"


def test_notifications_are_marked_read_by_their_owner_only(
    database: Database, asha: Browser, omar: Browser, session: Session
) -> None:
    add(database, Event.ASSIGNED)
    add(database, Event.MENTIONED, title="KAV/2")
    first = session.scalars(select(Notification.id).order_by(Notification.id)).first()
    action = f"/notifications/{first}/read"
    preferences = "/account/notifications"
    assert omar.send(action, omar.fill(preferences, preferences)).status_code == 404
    assert bell(asha) == "2"
    assert asha.submit("/notifications", action).status_code == 303
    assert bell(asha) == "1"
    assert asha.submit("/notifications", "/notifications/read").status_code == 303
    assert bell(asha) == ""


def test_page_lists_days_and_one_entry_for_each_order(
    database: Database, asha: Browser, move_clock: MoveClock
) -> None:
    add(database, Event.ORDER_RECEIVED, "KAV/1")
    add(database, Event.ORDER_RECEIVED, "KAV/2")
    move_clock(hours=24)
    add(database, Event.ORDER_CHANGED, "KAV/1")
    add(database, Event.ORDER_CHANGED, "KAV/1")
    add(database, Event.MENTIONED, "KAV/2")
    page = asha.get("/notifications")
    assert [head.get_text() for head in page.page.select("main h2")] == ["Today", "Yesterday"]
    entries = [link.get_text(strip=True) for link in page.page.select(".attention-item-header a")]
    assert entries == [
        "Unread:Meera mentioned you on KAV/2",
        "Unread:Order KAV/1 changed",
        "Unread:New order KAV/2",
        "Unread:New order KAV/1",
    ]
    assert "1 earlier" in page.visible_text
    forms = [str(form["action"]) for form in page.page.select("li.notification form")]
    asha.submit("/notifications", forms[1])
    assert bell(asha) == "3"


def test_page_lists_many_new_orders_as_one_entry(database: Database, asha: Browser) -> None:
    for number in range(4):
        add(database, Event.ORDER_RECEIVED, f"KAV/{number}")
    add(database, Event.MENTIONED, "KAV/3")
    page = asha.get("/notifications")
    entries = [link.get_text(strip=True) for link in page.page.select(".attention-item-header a")]
    assert entries == ["Unread:Meera mentioned you on KAV/3", "Unread:3 new orders"]
    form = page.page.select("li.notification form")[1]
    assert len(form.select("[name=also]")) == 3, "one button marks all of them as read"


def test_immediate_mail_waits_until_quiet_hours_end_in_user_time_zone(
    database: Database, session: Session
) -> None:
    with database.writing() as writing:
        asha = person_of(writing, "asha")
        asha.time_zone = "Pacific/Auckland"
        hour = clock.now().astimezone(ZoneInfo(asha.time_zone)).hour
        NotificationPreferences(DEFAULTS, quiet_from=hour, quiet_until=(hour + 2) % 24).save(asha)
        writing.commit()
    add(database, Event.ASSIGNED)
    (mail,) = mails(session)
    assert mail.run_at
    local = mail.run_at.astimezone(ZoneInfo("Pacific/Auckland"))
    assert (local.hour, local.minute) == ((hour + 2) % 24, 0)


def test_digest_is_off_for_people_who_turned_it_off(
    database: Database, move_clock: MoveClock, session: Session
) -> None:
    with database.writing() as writing:
        off = dict.fromkeys(Category, EmailTiming.OFF)
        NotificationPreferences(off).save(person_of(writing, "asha"))
        writing.commit()
    for event in Event:
        add(database, event)
    move_clock(hours=36)
    assert send_digests(database) == 0
    assert not events_of(session, "asha") and not mails(session)


def test_preferences_offer_only_what_a_role_is_notified_of(meera: Browser) -> None:
    page = "/account/notifications"
    fields = meera.fill(page, page)
    assert set(fields) & set(Category) == {"mentioned"}
    assert meera.send(page, fields).status_code == 303


def test_immediate_event_sends_a_mail_with_a_link(database: Database, session: Session) -> None:
    add(database, Event.ASSIGNED, title="KAV/1\r\nBcc: x@example", path="/orders/7")
    (mail,) = mails(session)
    assert mail.parameters["to"] == "asha@supplier.example"
    assert mail.parameters["subject"] == "Meera assigned KAV/1 Bcc: x@example to you"
    assert "https://po.supplier.example/orders/7" in mail.parameters["body"]


def test_digest_sends_one_mail_a_day_about_unread_notifications(
    database: Database, move_clock: MoveClock, session: Session
) -> None:
    for number in range(3):
        add(database, Event.ORDER_RECEIVED, title=f"KAV/{number}")
    assert not mails(session)
    move_clock(hours=36)
    send_digests(database)
    move_clock(hours=24)
    send_digests(database)
    (mail,) = mails(session)
    assert mail.parameters["subject"] == "3 notifications"
    assert "* New order KAV/2" in mail.parameters["body"]


def test_changed_account_sends_a_mail_to_the_old_address(
    asha: Browser, browser_of: Any, session: Session
) -> None:
    admin, person = browser_of("admin"), person_of(session, "asha")
    person.mail_address = "old@supplier.example"
    session.commit()
    new = "mango-lantern-river"
    asha.submit("/account/password", "/account/password", current_password=PASSWORD, new_password=new)
    asha.submit("/account", "/account", mail_address="new@supplier.example")
    user = f"/users/{person.id}"
    admin.submit(user, f"{user}/password")
    admin.submit(user, user, mail_address="")
    assert [(mail.parameters["to"], mail.parameters["subject"]) for mail in mails(session)] == [
        ("old@supplier.example", "Your password was changed"),
        ("old@supplier.example", "Your email address was changed"),
        ("new@supplier.example", "An administrator reset your password"),
        ("new@supplier.example", "Your email address was changed"),
    ]
    assert "/account/sessions" in mails(session)[0].parameters["body"]
    assert new not in str([mail.parameters for mail in mails(session)])


def test_quiet_hours_postpone_mails() -> None:
    preferences = NotificationPreferences(DEFAULTS, quiet_from=22, quiet_until=7)
    zone = ZoneInfo("Asia/Kolkata")
    evening = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # 23:30 in the user's time zone
    assert preferences.mail_time(evening, zone).astimezone(UTC) == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    noon = evening - timedelta(hours=12)
    assert preferences.mail_time(noon, zone) == noon
    assert NotificationPreferences(DEFAULTS).mail_time(evening, zone) == evening


def test_preferences_are_saved_and_respected(database: Database, asha: Browser, session: Session) -> None:
    page = "/account/notifications"
    quiet = {"quiet_from": "22", "quiet_until": "7"}
    saved = asha.submit(page, page, assigned="off", **quiet)
    assert saved.status_code == 303
    preferences = NotificationPreferences.of(person_of(session, "asha"))
    assert preferences.timings[Category.ASSIGNED] is EmailTiming.OFF
    assert (preferences.quiet_from, preferences.quiet_until) == (22, 7)
    add(database, Event.ASSIGNED)
    assert not events_of(session, "asha") and not mails(session)


@pytest.mark.parametrize(
    "wrong",
    [{"assigned": "x"}, {"quiet_from": "99"}, {"quiet_from": "22"}, {"quiet_from": "7", "quiet_until": "7"}],
)
def test_invalid_preferences_are_rejected_with_the_form(wrong: dict[str, str], asha: Browser) -> None:
    page = "/account/notifications"
    response = asha.submit(page, page, **wrong)
    assert response.status_code == 422 and response.page.select(".field-error")


def test_refused_response_is_assigned_to_the_staff_who_must_respond_again(
    refused: str, ravi: Browser, asha: Browser, session: Session
) -> None:
    item = f"/attention/message-{refused}"
    names = [option.get_text(strip=True) for option in ravi.get(item).page.select("#person option")]
    assert "Asha" in names and "Omar" not in names and "Meera" not in names
    outsider = person_of(session, "omar").id
    assert ravi.submit(item, f"{item}/assign", person=str(outsider)).status_code == 422
    ravi.submit(item, f"{item}/assign", person=str(person_of(session, "asha").id))
    assert Event.ASSIGNED in events_of(session, "asha")
    assert "Assigned to Asha" in asha.get("/attention?whose=mine").visible_text
    assert "Respond again" in asha.get(item).visible_text


def test_assigned_item_notifies_the_assignee(refused: str, ravi: Browser, session: Session) -> None:
    item = f"/attention/message-{refused}"
    ravi.submit(item, f"{item}/assign", person=str(person_of(session, "admin").id))
    assert events_of(session, "admin") == [Event.ASSIGNED]


def test_assigned_item_notifies_an_assignee_with_the_same_name(
    refused: str, ravi: Browser, session: Session
) -> None:
    item = f"/attention/message-{refused}"
    admin = person_of(session, "admin")
    admin.full_name = person_of(session, "ravi").display_name
    session.commit()
    ravi.submit(item, f"{item}/assign", person=str(admin.id))
    assert events_of(session, "admin") == [Event.ASSIGNED]
