"""Subject and body of the emails that list webhooks and orders. ``url`` is the line with the link."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from app.delivery.models import Message
from app.network.text import pluralize
from app.orders.models import PurchaseOrder
from app.tasks.mail import mail_line
from app.webhooks.presenters import message_chip, message_sentence


def attention_mail(messages: Sequence[Message], *, count: int, url: str) -> tuple[str, str]:
    """Webhooks that need attention: the newest of ``count``."""
    lines = [_message_line(message) for message in messages]
    if count > len(messages):
        lines.append(f"and {count - len(messages)} more")
    subject = pluralize(count, "webhook needs attention", "webhooks need attention")
    return subject, _body(subject, lines, url)


def deadlines_mail(
    orders: Sequence[PurchaseOrder], *, has_more: bool, now: datetime, zone: ZoneInfo, url: str
) -> tuple[str, str]:
    """Orders that are overdue or due soon."""
    lines = [_order_line(order, now, zone) for order in orders]
    subject = pluralize(len(orders), "order needs a response", "orders need a response")
    if has_more:
        lines.append("and more")
        subject = f"More than {len(orders)} orders need a response"
    return subject, _body(subject, lines, url)


def _body(subject: str, lines: Sequence[str], url: str) -> str:
    return "\n".join([f"{subject}:", "", *lines, url])


def _message_line(message: Message) -> str:
    chip = message_chip(message)
    return "* " + mail_line(f"{message.buyer_po_number}: {chip.label}. {message_sentence(message)}")


def _order_line(order: PurchaseOrder, now: datetime, zone: ZoneInfo) -> str:
    respond_by = order.respond_by.astimezone(zone)
    overdue = " (overdue)" if order.respond_by < now else ""
    name = mail_line(f"{order.buyer_po_number}, {order.buyer_name}")
    return f"* {name}: respond by {respond_by:%d %b %Y %H:%M}{overdue}"
