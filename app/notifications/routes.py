"""The signed-in person's notifications and preferences."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts import queries as people
from app.accounts.access import Permission
from app.db.filters import PAGE
from app.network.text import whole_number
from app.notifications import queries, service
from app.notifications.forms import PreferencesForm
from app.notifications.models import Category
from app.notifications.preferences import NotificationPreferences
from app.notifications.presenters import by_day
from app.notifications.texts import notification_text
from app.ui import web

blueprint = Blueprint("notifications", __name__)
blueprint.app_template_filter("notification_text")(notification_text)


@blueprint.app_context_processor
def _for_all_pages() -> dict[str, Any]:
    return {"unread_notifications": _unread_notifications}


def _unread_notifications() -> int:
    return queries.unread_count(web.db(), current_user.id) if current_user.is_authenticated else 0


@blueprint.get("/notifications")
@access.requires(Permission.VIEW)
def index() -> Response:
    """The person's notifications, newest first. Opening the page or a link marks nothing as read."""
    start = whole_number(request.args.get("before", ""))
    rows = queries.newest(web.db(), access.current_person().id, before=start)
    has_more = len(rows) > PAGE
    shown = rows[:PAGE]
    return web.page(
        "notifications/index.html",
        days=by_day(shown, web.zone(), clock.now()),
        newest_id=shown[0].id if shown and start is None else None,
        is_first_page=start is None,
        next_url=url_for(".index", before=shown[-1].id) if has_more else "",
    )


@blueprint.post("/notifications/read")
@access.requires(Permission.VIEW)
def read_all() -> AnyResponse:
    """Mark all as read, up to the newest one that the submitted page showed."""
    newest = whole_number(request.form.get("newest", "")) or abort(400)
    service.mark_all_read(web.db(), access.current_person().id, newest)
    web.db().commit()
    return web.redirect_after_post(url_for(".index"))


@blueprint.post("/notifications/<int:notification_id>/read")
@access.requires(Permission.VIEW)
def read(notification_id: int) -> AnyResponse:
    """Mark one as read, with the others of its group, which the form names."""
    me = access.current_person().id
    if not queries.own(web.db(), me, notification_id):
        abort(404)
    also = [whole_number(text) for text in request.form.getlist("also")[:PAGE]]
    service.mark_read(web.db(), me, [notification_id, *(row_id for row_id in also if row_id)])
    web.db().commit()
    return web.redirect_after_post(url_for(".index"))


@blueprint.get("/account/notifications")
@access.requires(Permission.VIEW)
def preferences() -> Response:
    """The form for the preferences."""
    return _preferences_page(PreferencesForm.of(access.current_person()))


@blueprint.post("/account/notifications")
@access.requires(Permission.VIEW)
def save_preferences() -> AnyResponse:
    """Save the preferences."""
    person = people.person_by_id(web.db(), access.current_person().id, lock=True) or abort(404)
    form = PreferencesForm(role=person.role)
    if not form.validate():
        return _preferences_page(form, 422)
    service.set_preferences(web.db(), person, form.preferences(NotificationPreferences.of(person)))
    web.db().commit()
    return web.redirect_after_post(url_for(".preferences", saved=1))


def _preferences_page(form: PreferencesForm, status: int = 200) -> Response:
    return web.page(
        "notifications/preferences.html",
        status=status,
        form=form,
        time_zone=web.zone().key,
        categories=[form[category.value] for category in Category if category.value in form],
        is_saved=bool(request.args.get("saved")),
    )
