"""The forms by which something is handed over or closed."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import Form, SelectField, StringField
from wtforms.validators import DataRequired, Length, Optional, Regexp

from app.attention.models import REASON_MAX
from app.ui.fields import Whole, choices, folded

WHOSE = [("", "Everybody's"), ("mine", "Mine"), ("nobody", "Nobody's yet")]


class AttentionForm(Form):
    """``GET /attention``."""

    whose = SelectField("Whose", [Optional()], choices=choices(WHOSE), default="")
    after = StringField("After", [Optional(), Regexp(r"^msg_[0-9A-Z]{26}$")])


class ReasonForm(FlaskForm):
    """Why something is closed, or opened again; it stands in the history beside the name."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the history."), Length(max=REASON_MAX)],
        filters=[folded],
    )


class AssignForm(FlaskForm):
    """To whom something is handed over; empty is nobody."""

    person = Whole("Person", [Optional()])
