"""Create notifications, mark them as read, and send their emails. Only the scheduled tasks commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.audit import trail
from app.audit.models import AuditAction, AuditObject
from app.db import Database, SessionSettings
from app.notifications.models import TITLE_MAX, EmailTiming, Event, Notification
from app.notifications.preferences import NotificationPreferences
from app.notifications.texts import AccountChange, account_change_mail, digest_mail, notification_mail
from app.tasks.mail import DIGEST_HOUR, Topic, enqueue, is_on, link

KEEP = timedelta(days=90)


def notify(
    session: Session, people: Iterable[Person], event: Event, *, title: str, path: str, by: str = ""
) -> None:
    """Notify people of an event, according to their preferences, in the transaction of the event.

    ``title`` names the object, ``path`` is its page, and ``by`` is the name of the person who caused it.
    """
    now = clock.now()
    for person in people:
        preferences = NotificationPreferences.of(person)
        timing = preferences.timings[event.category]
        if timing is EmailTiming.OFF:
            continue
        notification = Notification(
            person_id=person.id,
            event=event,
            title=title[:TITLE_MAX],
            caused_by=by[:120],
            path=path,
            created_at=now,
            in_digest=timing is EmailTiming.DIGEST and bool(person.mail_address) and is_on(session),
        )
        session.add(notification)
        if timing is EmailTiming.AT_ONCE and person.mail_address:
            subject, body = notification_mail(notification, url=link(session, path))
            _enqueue(session, person, subject, body, preferences.mail_time(now, zone_of(session, person)))
    session.flush()


def mark_read(session: Session, person_id: int, ids: Collection[int]) -> None:
    """Mark those of the notifications as read that are this person's."""
    _mark_read(session, person_id, Notification.id.in_(ids))


def mark_all_read(session: Session, person_id: int, newest: int) -> None:
    """Mark the notifications of a person as read, up to the newest one that the person saw."""
    _mark_read(session, person_id, Notification.id <= newest)


def _mark_read(session: Session, person_id: int, condition: ColumnElement[bool]) -> None:
    unread = update(Notification).where(
        Notification.person_id == person_id, condition, Notification.read_at.is_(None)
    )
    session.execute(unread.values(read_at=clock.now()))


def set_preferences(session: Session, person: Person, preferences: NotificationPreferences) -> None:
    """Save the preferences of a person."""
    before = _audit_fields(NotificationPreferences.of(person))
    preferences.save(person)
    old, new = trail.differences(before, _audit_fields(preferences))
    if new:
        trail.record(
            session,
            AuditAction.PERSON_CHANGED,
            AuditObject.PERSON,
            person.id,
            name=person.username,
            by=person.display_name,
            before=old,
            after=new,
        )


def _audit_fields(preferences: NotificationPreferences) -> dict[str, object]:
    timings = {f"mail_{category}": timing.value for category, timing in preferences.timings.items()}
    return {**timings, "quiet_from": preferences.quiet_from, "quiet_until": preferences.quiet_until}


def send_digests(database: Database) -> int:
    """Queue digests of the notifications from before the last ``DIGEST_HOUR``; returns how many digests."""
    with database.writing() as session:
        waiting = select(Notification.person_id).where(Notification.in_digest)
        people = session.scalars(select(Person).where(Person.id.in_(waiting)).order_by(Person.id)).all()
        sent = sum(_send_digest(session, person) for person in people)
        session.commit()
    return sent


def prune(database: Database) -> None:
    """Remove notifications that are older than ``KEEP``."""
    with database.writing() as session:
        session.execute(delete(Notification).where(Notification.created_at < clock.now() - KEEP))
        session.commit()


def mail_account_change(
    session: Session, person: Person, change: AccountChange, *, to: str | None = None
) -> None:
    """Mail the person, or the address ``to``, about a change to the account, whatever the preferences are.

    It does nothing without an address.
    """
    address = person.mail_address if to is None else to
    if not address:
        return
    url = link(session, "/account/sessions")
    subject, body = account_change_mail(change, person.username, url=url)
    enqueue(session, Topic.NOTIFICATION, subject, body, to=address)


def zone_of(session: Session, person: Person) -> ZoneInfo:
    """The time zone of a person."""
    return ZoneInfo(person.time_zone) if person.time_zone else SessionSettings.of(session).time_zone


def _send_digest(session: Session, person: Person) -> bool:
    zone = zone_of(session, person)
    local = clock.now().astimezone(zone)
    digest_time = local.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    if local < digest_time:
        digest_time -= timedelta(days=1)
    notifications = session.scalars(
        select(Notification)
        .where(
            Notification.person_id == person.id,
            Notification.in_digest,
            Notification.created_at < digest_time,
        )
        .order_by(Notification.id.desc())
    ).all()
    unread = [notification for notification in notifications if notification.read_at is None]
    for notification in notifications:
        notification.in_digest = False
    if not unread or not person.mail_address or not person.active:
        return False
    subject, body = digest_mail(unread, url=link(session, "/notifications"))
    _enqueue(session, person, subject, body, NotificationPreferences.of(person).mail_time(local, zone))
    return True


def _enqueue(session: Session, person: Person, subject: str, body: str, at: datetime) -> None:
    enqueue(session, Topic.NOTIFICATION, subject, body, at=at, to=person.mail_address)
