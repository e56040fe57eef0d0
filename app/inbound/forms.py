"""The log's filter and the form for applying again."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import Form, SearchField, SelectField, StringField
from wtforms.validators import DataRequired, Length, Optional, Regexp

from app.inbound.handlers import VERBS
from app.inbound.models import Effect
from app.inbound.processing import REASON_MAX
from app.ui.fields import Moment, choices, folded, lowered

EFFECT_NAMES = {
    Effect.APPLIED: "Applied",
    Effect.REPEATED: "Repeated",
    Effect.CONFLICT: "In conflict",
    Effect.REFUSED: "Refused by us",
    Effect.UNMATCHED: "Fits nothing",
    Effect.NO_CREDENTIALS: "Without credentials",
}


class InboundFilterForm(Form):
    """``GET /inbound``; times are ISO 8601, without a zone the reader's."""

    q = SearchField("PO number, id, object id, words in a body", [Optional(), Length(max=200)])
    effect = SelectField(
        "Effect",
        [Optional()],
        choices=choices(
            [("", "Any effect"), *((effect.value, name) for effect, name in EFFECT_NAMES.items())]
        ),
        default="",
    )
    code = StringField(
        "We answered",
        [Optional(), Regexp(r"^([1-5]\d\d|[1-5]xx)$", message="It is 409, or 4xx.")],
        filters=[lowered],
    )
    kind = SelectField(
        "Kind",
        [Optional()],
        choices=choices([("", "Any kind"), *((kind.value, kind.value) for kind in VERBS)]),
        default="",
    )
    partner = StringField("Partner", [Optional(), Length(max=80)])
    order = StringField("PO number", [Optional(), Length(max=50)])
    supplier = StringField("Supplier", [Optional(), Length(max=100)])
    since = Moment("Since", [Optional()])
    until = Moment("Until", [Optional()])
    after = StringField("After", [Optional(), Regexp(r"^in_[0-9A-Z]{26}$")])


class ApplyForm(FlaskForm):
    """Why a message is applied again; the reason stands in the log beside the name."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the log."), Length(max=REASON_MAX)],
        filters=[folded],
    )
