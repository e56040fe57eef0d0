"""The page of the audit trail."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, url_for

from app.accounts import access
from app.accounts.access import Permission
from app.audit import presenters
from app.audit.listing import AUDIT
from app.audit.models import AuditEntry, AuditObject
from app.ui import web

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
for _filter in (
    presenters.action_label,
    presenters.actor_label,
    presenters.origin_label,
    presenters.role_label,
    presenters.object_label,
    presenters.reason_label,
    presenters.integrity_text,
):
    blueprint.add_app_template_filter(_filter, f"audit_{_filter.__name__}")

OBJECT_PAGES = {
    AuditObject.ORDER.value: ("orders.order", "order_id"),
    AuditObject.MESSAGE.value: ("webhooks.message", "message_id"),
    AuditObject.INBOUND.value: ("inbound.message", "inbound_id"),
    AuditObject.PARTNER.value: ("partners.partner", "partner_id"),
    AuditObject.JOB.value: ("tasks.job_page", "job_id"),
    AuditObject.EXPORT.value: ("tasks.job_page", "job_id"),
}
"""The endpoint of the page of an object, and the name of its argument."""
NUMERIC_IDS = frozenset({AuditObject.ORDER.value, AuditObject.PARTNER.value})


@blueprint.app_template_filter("audit_changes")
def _changes(entry: AuditEntry) -> list[presenters.Change]:
    return presenters.changes(entry, web.zone())


@blueprint.get("")
@access.requires(Permission.VIEW_AUDIT_TRAIL)
def trail() -> Response:
    """The trail, newest first."""
    return AUDIT.page()


@blueprint.get("/newer")
@access.requires(Permission.VIEW_AUDIT_TRAIL)
def newer() -> Response:
    """The number of entries newer than those on an open page."""
    return AUDIT.newer()


@blueprint.app_template_filter("audit_object_url")
def url_of(entry: AuditEntry) -> str | None:
    """The page of the object of an entry; None if it has none."""
    page = OBJECT_PAGES.get(entry.object_kind)
    if page is None or not entry.object_id:
        return None
    endpoint, argument = page
    is_numeric = entry.object_kind in NUMERIC_IDS
    if is_numeric and not entry.object_id.isdecimal():
        return None
    values: dict[str, Any] = {argument: int(entry.object_id) if is_numeric else entry.object_id}
    return url_for(endpoint, **values)
