"""The audit trail's page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for

from app.accounts import access
from app.accounts.access import Permission
from app.audit import queries
from app.audit.forms import AuditFilterForm
from app.audit.models import AuditEntry, AuditObject
from app.ui import web
from app.ui.fields import in_query, read_filter

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

PAGES = {
    AuditObject.ORDER.value: ("orders.order", "order_id"),
    AuditObject.MESSAGE.value: ("webhooks.message", "message_id"),
    AuditObject.INBOUND.value: ("inbound.message", "inbound_id"),
    AuditObject.PARTNER.value: ("partners.partner", "partner_id"),
    AuditObject.JOB.value: ("tasks.one", "job_id"),
    AuditObject.EXPORT.value: ("tasks.one", "job_id"),
}
"""Where an object has its page: the endpoint, and the name of its argument."""
NUMBERED = frozenset({AuditObject.ORDER.value, AuditObject.PARTNER.value})


EMPTY: tuple[Any, ...] = (None, "", [], {})


@blueprint.app_template_test("tells")
def _tells(name: str, was: Mapping[str, Any], became: Mapping[str, Any]) -> bool:
    """Whether an entry's value of this name says anything: there was one before, or is one now."""
    return was.get(name) not in EMPTY or became.get(name) not in EMPTY


@blueprint.app_template_filter("audit_value")
def _in_words(value: Any) -> str:
    """A value before or after, as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in EMPTY:
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(part) for part in value)
    return _moment(value) if isinstance(value, str) else str(value)


def _moment(text: str) -> str:
    """A time in ISO 8601 on the reader's clock; any other text as it is."""
    if not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return text
    try:
        at = datetime.fromisoformat(text)
        return f"{at.astimezone(web.zone()):%d %b %Y, %H:%M:%S}" if at.tzinfo else text
    except (ValueError, OverflowError):
        return text


@blueprint.get("")
@access.requires(Permission.VIEW_AUDIT_TRAIL)
def trail() -> Response:
    """The trail, newest first."""
    form = AuditFilterForm(request.args)
    values, notices = read_filter(form, web.zone())
    found = queries.entry_page(web.db(), queries.AuditFilter(**values))
    in_url = in_query({name: value for name, value in values.items() if name != "after"})
    return web.page(
        "audit/trail.html",
        "audit/_list.html",
        form=form,
        notices=notices,
        found=found,
        next_url=url_for(".trail", **in_url, after=found.next_after) if found.next_after else None,
        first_url=url_for(".trail", **in_url) if "after" in values else "",
        filtered=bool(set(values) - {"after"}),
        in_url=in_url,
        actors=queries.actors(web.db()),
        sealed=queries.sealed(web.db()),
        url_of=url_of,
    )


def url_of(entry: AuditEntry) -> str | None:
    """The page of the object that an entry is about, if it has one."""
    place = PAGES.get(entry.object_kind)
    if place is None or not entry.object_id:
        return None
    endpoint, argument = place
    is_number = entry.object_kind in NUMBERED
    if is_number and not entry.object_id.isdecimal():
        return None
    values: dict[str, Any] = {argument: int(entry.object_id) if is_number else entry.object_id}
    return url_for(endpoint, **values)
