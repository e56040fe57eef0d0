"""The log's filter and the form for sending again."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import Form, SearchField, SelectField, StringField
from wtforms.validators import DataRequired, Length, NumberRange, Optional, Regexp

from app.delivery.models import MessageState
from app.delivery.service import REASON_MAX
from app.network.vocabulary import Kind
from app.ui.fields import Moment, Whole, choices, folded, lowered
from app.webhooks.presenters import MESSAGE_STATES, TRIGGER_LABELS
from app.webhooks.queries import ATTENTION

STATES = [
    ("", "Any state"),
    (ATTENTION, "Needs attention"),
    (MessageState.PENDING.value, "Queued or retrying"),
    *(
        (state, MESSAGE_STATES[state].words)
        for state in ("held", "sending", "delivered", "refused", "failed", "cancelled")
    ),
]
TRIGGERS = [("", "Any trigger"), *((trigger.value, label) for trigger, label in TRIGGER_LABELS.items())]
CODE = r"^([1-5]\d\d|[1-5]xx|none)$"
"""One status, a class of them, or no answer at all."""
WITHDRAW_REASON_MAX = 120


class MessageFilterForm(Form):
    """``GET /webhooks``; times are ISO 8601, without a zone the reader's."""

    q = SearchField("PO, message id, words in a body", [Optional(), Length(max=200)])
    state = SelectField("State", [Optional()], choices=choices(STATES), default="")
    code = StringField(
        "HTTP", [Optional(), Regexp(CODE, message="It is 404, 4xx, or none.")], filters=[lowered]
    )
    kind = SelectField(
        "Kind",
        [Optional()],
        choices=choices([("", "Any kind"), (Kind.REQ_CONFIRM, Kind.REQ_CONFIRM)]),
        default="",
    )
    partner = StringField("Partner", [Optional(), Length(max=80)])
    order = StringField("PO number", [Optional(), Length(max=50)])
    supplier = StringField("Supplier", [Optional(), Length(max=100)])
    trigger = SelectField("Trigger", [Optional()], choices=choices(TRIGGERS), default="")
    attempts = Whole("Tries at least", [Optional(), NumberRange(1, 9999)])
    since = Moment("Since", [Optional()])
    until = Moment("Until", [Optional()])
    after = StringField("After", [Optional(), Regexp(r"^msg_[0-9A-Z]{26}$")])


class WithdrawForm(FlaskForm):
    """Why a message is kept from leaving. The sentence on its page is made of the name and this."""

    why = StringField(
        "Reason",
        [DataRequired("Say why; whoever answered reads it."), Length(max=WITHDRAW_REASON_MAX)],
        filters=[folded],
    )


class ResendForm(FlaskForm):
    """Why a message is sent again; the reason stands in the log beside the name."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the log."), Length(max=REASON_MAX)],
        filters=[folded],
    )
