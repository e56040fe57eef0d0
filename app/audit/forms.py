"""The filter of the audit trail."""

from __future__ import annotations

from wtforms import SearchField, SelectField
from wtforms.validators import Length, NumberRange, Optional

from app.audit.presenters import ACTIONS, OBJECTS
from app.ui.fields import Choice, Moment, Until, Whole, choices
from app.ui.forms import Form


class AuditFilterForm(Form):
    """``GET /audit``; times are ISO 8601, in the reader's zone unless they name another."""

    q = SearchField("PO number, name, reason or IP address", [Optional(), Length(max=200)])
    who = Choice("User", [Optional(), Length(max=120)], any_label="Anyone")
    action = SelectField(
        "Action",
        [Optional()],
        choices=choices([("", "Any action"), *((action.value, label) for action, label in ACTIONS.items())]),
        default="",
    )
    object = SelectField(
        "Object",
        [Optional()],
        choices=choices([("", "All objects"), *((kind.value, label) for kind, label in OBJECTS.items())]),
        default="",
    )
    since = Moment("Since", [Optional()])
    until = Until("Until", [Optional()])
    after = Whole("After", [Optional(), NumberRange(min=1)])
