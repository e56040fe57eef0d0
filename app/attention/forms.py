"""Forms to filter, assign, resolve and reopen items."""

from __future__ import annotations

from wtforms import SelectField, StringField
from wtforms.validators import Optional, Regexp

from app.attention.models import REASON_MAX
from app.attention.queries import ME, UNASSIGNED
from app.ui.fields import Whole, choices, reason_field
from app.ui.forms import FlaskForm, Form

ASSIGNEES = [("", "All"), (ME, "Mine"), (UNASSIGNED, "Unassigned")]


class AttentionForm(Form):
    """``GET /attention``."""

    whose = SelectField("Assignee", [Optional()], choices=choices(ASSIGNEES), default="")
    after = StringField("After", [Optional(), Regexp(r"^msg_[0-9A-Z]{26}$")])


class ReasonForm(FlaskForm):
    """Why an item is resolved or reopened; shown in its history."""

    reason = reason_field(REASON_MAX)


class AssignForm(FlaskForm):
    """The assignee of an item; empty to unassign it."""

    person = Whole("Assignee", [Optional()])
