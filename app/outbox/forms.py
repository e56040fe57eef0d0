"""The log's filter and the form for sending again."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import Form, SearchField, SelectField, StringField
from wtforms.validators import DataRequired, Length, NumberRange, Optional, Regexp

from app.contract.vocabulary import Kind
from app.fields import Moment, Whole, choices, folded
from app.outbox.messages import REASON_MAX
from app.outbox.models import MessageState, Trigger
from app.outbox.queries import ATTENTION

STATES = [
    ("", "Any state"),
    (ATTENTION, "Needs attention"),
    *((state.value, state.value.capitalize()) for state in MessageState),
    ("held", "Held"),
]
KINDS = [("", "Any kind"), (Kind.REQ_CONFIRM.value, Kind.REQ_CONFIRM.value)]
TRIGGERS = [("", "Any trigger"), *((t.value, t.value.capitalize()) for t in Trigger)]


class MessageFilterForm(Form):
    """``GET /webhooks``; times are ISO 8601, without a zone the reader's."""

    q = SearchField("PO number, message id, words in a body", [Optional(), Length(max=200)])
    state = SelectField("State", [Optional()], choices=choices(STATES), default="")
    code = Whole("HTTP status", [Optional(), NumberRange(100, 599)])
    kind = SelectField(
        "Kind",
        [Optional()],
        choices=choices([("", "Any kind"), (Kind.REQ_CONFIRM, Kind.REQ_CONFIRM)]),
        default="",
    )
    partner = StringField("Partner", [Optional(), Length(max=80)])
    trigger = SelectField("Trigger", [Optional()], choices=choices(TRIGGERS), default="")
    since = Moment("Since", [Optional()])
    until = Moment("Until", [Optional()])
    after = StringField("After", [Optional(), Regexp(r"^msg_[0-9A-Z]{26}$")])


class ResendForm(FlaskForm):
    """Why a message is sent again; the reason stands in the log beside the name."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the log."), Length(max=REASON_MAX)],
        filters=[folded],
    )
