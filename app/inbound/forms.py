"""The filter of the incoming log, and the form to reprocess a message."""

from __future__ import annotations

from wtforms import SearchField, SelectField, StringField
from wtforms.validators import Length, Optional, Regexp

from app.inbound.presenters import EFFECTS, KINDS
from app.inbound.processing import REASON_MAX
from app.ui.fields import Choice, Moment, Until, choices, lowercase, reason_field
from app.ui.forms import FlaskForm, Form


class InboundFilterForm(Form):
    """``GET /inbound``; times are ISO 8601, in the reader's zone unless they name another."""

    q = SearchField("PO, message ID or body", [Optional(), Length(max=200)])
    effect = SelectField(
        "Result",
        [Optional()],
        choices=choices(
            [("", "Any result"), *((effect.value, chip.label) for effect, chip in EFFECTS.items())]
        ),
        default="",
    )
    code = StringField(
        "HTTP status",
        [Optional(), Regexp(r"^([1-5]\d\d|[1-5]xx)$", message="Enter a status such as 409 or 4xx.")],
        filters=[lowercase],
        render_kw={"placeholder": "409, 4xx"},
    )
    kind = SelectField(
        "Type",
        [Optional()],
        choices=choices([("", "Any type"), *((kind.value, label) for kind, label in KINDS.items())]),
        default="",
    )
    partner = Choice("Partner", [Optional(), Length(max=80)], any_label="Any partner")
    order = StringField("PO number", [Optional(), Length(max=50)])
    supplier = StringField("Supplier", [Optional(), Length(max=100)])
    since = Moment("Since", [Optional()])
    until = Until("Until", [Optional()])
    after = StringField("After", [Optional(), Regexp(r"^in_[0-9A-Z]{26}$")])


class ReprocessForm(FlaskForm):
    """Why a message is reprocessed; the reason is logged."""

    reason = reason_field(REASON_MAX)
