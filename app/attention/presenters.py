"""Labels, tones and sentences for items and their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Flask, url_for

from app.accounts import access
from app.accounts.permissions import Permission
from app.attention.items import Item
from app.attention.models import Case, CaseAction, CaseEvent, split_key
from app.attention.service import Blocker
from app.audit.models import AuditObject
from app.delivery.models import Message, MessageState
from app.delivery.retry_policy import Reason
from app.inbound.presenters import effect_chip, effect_sentence, inbound_kind
from app.network.text import pluralize
from app.partners.models import Partner, PauseCode
from app.partners.presenters import pause_sentence
from app.ui import web
from app.ui.chips import Chip
from app.webhooks.partner_presenters import failing_sentence, partner_chip
from app.webhooks.partner_status import PartnerState, PartnerStatus, failed_count
from app.webhooks.presenters import may_respond_again, message_chip, message_sentence

LINKED_PAGES = {
    AuditObject.MESSAGE: "webhook",
    AuditObject.INBOUND: "incoming message",
    AuditObject.PARTNER: "partner",
    AuditObject.ORDER: "order",
}
ITEM_KINDS = {**LINKED_PAGES, AuditObject.MESSAGE: "response"}
CONFIRMATIONS = {
    "assigned": "Assigned.",
    "unassigned": "Unassigned.",
    "resolved": "Resolved.",
    "reopened": "Reopened.",
}
BLOCKERS = {
    Blocker.NO_LONGER_NEEDED: "This item no longer needs attention.",
    Blocker.IS_PARTNER: (
        "You can't resolve a partner. The item closes when the partner is resumed or recovers."
    ),
    Blocker.IS_ORDER: "Give a user access to this supplier instead.",
    Blocker.NOT_RESOLVED: "This item isn't resolved, or its cause is gone.",
}
EVENT_TITLES = {
    CaseAction.ASSIGNED: "Assigned to {note}",
    CaseAction.UNASSIGNED: "Unassigned",
    CaseAction.RESOLVED: "Resolved",
    CaseAction.REOPENED: "Reopened",
    CaseAction.RECURRED: "Failed again",
    CaseAction.SUPERSEDED: "Resolved: a new response was sent",
}


@dataclass(frozen=True, slots=True)
class Detail:
    """A fact about an item: a text, perhaps with a link, or a time."""

    label: str
    text: str = ""
    url: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NextStep:
    """The action that would solve an item, or where to look if someone else must act."""

    label: str
    url: str


def item_url(item: Item) -> str:
    """The page of the webhook, incoming message, order or partner."""
    if item.message:
        return url_for("webhooks.message", message_id=item.message.id)
    if item.inbound:
        return url_for("inbound.message", inbound_id=item.inbound.id)
    if item.order:
        return url_for("orders.order", order_id=item.order.id)
    assert item.partner_status
    return url_for("partners.partner", partner_id=item.partner_status.partner.id)


def item_link(item: Item) -> str:
    """The label of the link to that page."""
    return f"View {LINKED_PAGES[item.kind]}"


def item_details(item: Item) -> list[Detail]:
    """The facts about an item that help to decide what to do."""
    if item.message:
        message = item.message
        return [
            _partner_detail(message.partner),
            Detail("Response by", message.created_by),
            Detail("Attempts", str(message.attempts_made)),
            Detail("Last attempt", at=message.finished_at or message.created_at),
        ]
    if item.inbound:
        inbound = item.inbound
        sender = _partner_detail(inbound.partner) if inbound.partner else Detail("Partner", "Unknown sender")
        kind = Detail("Type", inbound_kind(inbound.kind))
        return [sender, kind, Detail("Received", at=inbound.received_at)]
    if item.order:
        return [
            _partner_detail(item.order.partner),
            Detail("Supplier", item.supplier_b2b_id),
            Detail("Received", at=item.order.received_at),
            Detail("Respond by", at=item.order.respond_by),
        ]
    assert item.partner_status
    status = item.partner_status
    details = [_partner_detail(status.partner), Detail("Queue", pluralize(status.waiting.count, "webhook"))]
    if status.since:
        details.append(Detail("Since", at=status.since))
    if status.waiting.oldest_at:
        details.append(Detail("Oldest in the queue", at=status.waiting.oldest_at))
    return details


def _partner_detail(partner: Partner) -> Detail:
    url = url_for("partners.partner", partner_id=partner.id)
    may_open = access.can(Permission.VIEW_ALL)
    return Detail("Partner", partner.name, url=url if may_open else "")


def item_chip(item: Item) -> Chip:
    """The state of an item."""
    if item.message:
        return _message_chip(item.message)
    if item.inbound:
        return effect_chip(item.inbound)
    if item.order:
        return Chip("warn", "No user") if item.needs_attention else Chip("ok", "Has a user")
    assert item.partner_status
    return partner_chip(item.partner_status)


def _message_chip(message: Message) -> Chip:
    if message.state is MessageState.CANCELED:
        return Chip("warn", "May have been received")
    if message.reason == Reason.INTERRUPTED:
        return Chip("bad", "Interrupted")
    return message_chip(message)


def item_cause(item: Item) -> str:
    """What happened, in a sentence."""
    if item.message:
        return message_sentence(item.message) or "Canceled."
    if item.inbound:
        return effect_sentence(item.inbound)
    if item.order:
        return f"No active user can respond for {item.order.supplier_b2b_id}."
    assert item.partner_status
    return _partner_cause(item.partner_status)


def _partner_cause(status: PartnerStatus) -> str:
    if status.state is PartnerState.PAUSED:
        return pause_sentence(status.partner)
    if status.state is PartnerState.FAILING:
        return failing_sentence(status)
    if status.state is PartnerState.DELAYED:
        webhooks = pluralize(status.waiting.retrying, "webhook is", "webhooks are")
        return f"The partner is responding again. {webhooks} still being retried."
    return "Webhooks are sent normally."


def item_kind(key: str) -> str:
    """What an item is about, by its key."""
    kind, _ = split_key(key)
    return ITEM_KINDS[AuditObject(kind)]


def next_steps(item: Item) -> list[NextStep]:
    """All next steps for the person who is signed in, the best one first. Only partners have several."""
    if item.partner_status:
        return _next_steps_of_partner(item.partner_status)
    if not item.needs_attention:
        return []
    if item.message:
        return [_next_step_of_message(item.message)]
    if item.inbound:
        return [NextStep("Reprocess", item_url(item))]
    if access.can(Permission.MANAGE_USERS):
        return [NextStep("Add user", url_for("accounts.new_user"))]
    return [NextStep("View order", item_url(item))]


def _next_steps_of_partner(status: PartnerStatus) -> list[NextStep]:
    partner = status.partner
    page = url_for("partners.partner", partner_id=partner.id)
    diagnostics = NextStep("Run diagnostics", url_for("partners.diagnostics", partner_id=partner.id))
    if status.state is PartnerState.PAUSED:
        steps = [NextStep("Resume partner", page), diagnostics]
        # What the app paused has a cause that resuming does not change.
        return steps if partner.pause_code is PauseCode.NONE else steps[::-1]
    if status.state is PartnerState.FAILING:
        return [diagnostics, NextStep("Pause partner", f"{page}#pause")]
    failed = failed_count(web.db(), partner.id)
    if not failed:
        return []
    url = url_for("resends.preview", partner=partner.name, state=MessageState.FAILED.value)
    return [NextStep(f"Resend {pluralize(failed, 'failed webhook')}", url)]


def _next_step_of_message(message: Message) -> NextStep:
    url = url_for("webhooks.message", message_id=message.id)
    if message.state is MessageState.FAILED:
        may_resend = access.can(Permission.RESEND)
        return NextStep("Resend", f"{url}#message") if may_resend else NextStep("View attempts", url)
    if may_respond_again(message):
        return NextStep("Respond again", url_for("orders.order", order_id=message.order_id))
    return NextStep("View webhook", url)


def next_step_of_supplier(item: Item) -> str:
    """What the supplier must do; empty if nothing, or if the reader can do it."""
    message = item.message
    if not message or not item.needs_attention or access.can(Permission.RESPOND):
        return ""
    if message.state is not MessageState.REFUSED or message.order_id is None or message.has_order_ended:
        return ""
    return "The supplier must respond to the order again."


def event_title(event: CaseEvent) -> str:
    """An entry of the history."""
    return EVENT_TITLES[CaseAction(event.action)].format(note=event.note)


def event_tone(event: CaseEvent) -> str:
    """The tone of an entry of the history, empty for most."""
    return "warn" if event.action == CaseAction.RECURRED else ""


def event_quote(event: CaseEvent) -> str:
    """The reason that a person gave, empty for other events."""
    return event.note if event.action in (CaseAction.RESOLVED, CaseAction.REOPENED) else ""


def resolution(case: Case) -> str:
    """Why a case was resolved: the person's reason in quotes, or that the order has a newer response."""
    return f"“{case.resolved_reason}”" if case.resolved_reason else "A new response was sent."


def init_app(app: Flask) -> None:
    """Register this package's template filters."""
    app.jinja_env.filters.update(
        item_url=item_url,
        item_chip=item_chip,
        item_cause=item_cause,
        item_details=item_details,
        item_kind=item_kind,
        item_link=item_link,
        next_steps=next_steps,
        next_step_of_supplier=next_step_of_supplier,
        event_title=event_title,
        event_quote=event_quote,
        event_tone=event_tone,
        resolution=resolution,
    )
