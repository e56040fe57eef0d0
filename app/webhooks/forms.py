"""Forms to filter the list of webhooks, and to resend or cancel one."""

from __future__ import annotations

from wtforms import BooleanField, SearchField, SelectField, StringField
from wtforms.validators import Length, NumberRange, Optional, Regexp

from app.delivery.models import PAUSED, MessageState
from app.delivery.service import REASON_MAX
from app.network.vocabulary import Kind
from app.ui.fields import Choice, Moment, Until, Whole, choices, lowercase, reason_field
from app.ui.forms import FlaskForm, Form
from app.webhooks.presenters import MESSAGE_STATES, TRIGGER_LABELS
from app.webhooks.queries import ATTENTION

STATES = [
    ("", "Any state"),
    (ATTENTION, "Needs attention"),
    (MessageState.PENDING.value, "Queued or retrying"),
    *(
        (state, MESSAGE_STATES[state].label)
        for state in (PAUSED, "sending", "delivered", "refused", "failed", "cancelled")
    ),
]
TRIGGERS = [("", "Any trigger"), *((trigger.value, label) for trigger, label in TRIGGER_LABELS.items())]
CODE = r"^([1-5]\d\d|[1-5]xx|none)$"
"""A status, a class of statuses, or no response."""
CANCEL_REASON_MAX = 120


class MessageFilterForm(Form):
    """``GET /webhooks``. Times are ISO 8601, in the reader's zone unless they name one."""

    q = SearchField("Search PO, message ID or body", [Optional(), Length(max=200)])
    state = SelectField("State", [Optional()], choices=choices(STATES), default="")
    code = Choice(
        "HTTP status",
        [Optional(), Regexp(CODE, message="Enter 404, 4xx or none.")],
        filters=[lowercase],
        render_kw={"placeholder": "404, 5xx, none"},
    )
    kind = SelectField(
        "Type",
        [Optional()],
        choices=choices([("", "Any type"), (Kind.REQ_CONFIRM, Kind.REQ_CONFIRM)]),
        default="",
    )
    partner = Choice("Partner", [Optional(), Length(max=80)], any_label="Any partner")
    order = StringField("PO number", [Optional(), Length(max=50)])
    supplier = Choice("Supplier", [Optional(), Length(max=100)])
    trigger = SelectField("Trigger", [Optional()], choices=choices(TRIGGERS), default="")
    attempts = Whole("Min. attempts", [Optional(), NumberRange(1, 9999)])
    since = Moment("Since", [Optional()])
    until = Until("Until", [Optional()])
    after = StringField("After", [Optional(), Regexp(r"^msg_[0-9A-Z]{26}$")])


class SelectionForm(MessageFilterForm):
    """``GET /webhooks/resends``: the filter of the list, and the start of an outage."""

    tried_since = Moment("Down since", [Optional()])
    delivered = BooleanField("Include delivered", false_values=("", "0", "false", "no"))


class CancelForm(FlaskForm):
    """Why delivery is canceled; the responder sees it."""

    why = reason_field(CANCEL_REASON_MAX)


class ResendForm(FlaskForm):
    """Why one or several webhooks are resent; logged with the person's name."""

    reason = reason_field(REASON_MAX)
