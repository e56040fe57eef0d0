"""The trail's filter."""

from __future__ import annotations

from wtforms import Form, SearchField, SelectField, StringField
from wtforms.validators import Length, NumberRange, Optional

from app.audit.models import AuditAction, AuditObject
from app.ui.fields import Moment, Whole, choices

THINGS = {
    AuditObject.ORDER: "Orders",
    AuditObject.MESSAGE: "Webhooks",
    AuditObject.INBOUND: "Received messages",
    AuditObject.PARTNER: "Partners",
    AuditObject.PERSON: "People",
    AuditObject.JOB: "Long work",
    AuditObject.EXPORT: "Exports",
    AuditObject.RECORDS: "Records",
}


def _deed_words(deed: AuditAction) -> str:
    # Of jobs the pages say cancelled, of messages withdrawn.
    return "Cancelled or withdrawn" if deed is AuditAction.CANCELED else deed.value.capitalize()


class AuditFilterForm(Form):
    """``GET /audit``; times are ISO 8601, without a zone the reader's."""

    q = SearchField("PO number, name, reason, address", [Optional(), Length(max=200)])
    who = StringField("Who", [Optional(), Length(max=120)])
    deed = SelectField(
        "AuditAction",
        [Optional()],
        choices=choices([("", "Any deed"), *((deed.value, _deed_words(deed)) for deed in AuditAction)]),
        default="",
    )
    thing = SelectField(
        "Object",
        [Optional()],
        choices=choices([("", "Anything"), *((thing.value, words) for thing, words in THINGS.items())]),
        default="",
    )
    since = Moment("Since", [Optional()])
    until = Moment("Until", [Optional()])
    after = Whole("After", [Optional(), NumberRange(min=1)])
