"""What is to be sent again, and why."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Length, Optional

from app.fields import Moment, folded
from app.outbox.forms import MessageFilterForm
from app.outbox.messages import REASON_MAX


class SelectionForm(MessageFilterForm):
    """``GET /webhooks/resends``: the log's filter, and what an outage left behind."""

    tried_since = Moment("Down since", [Optional()])
    delivered = BooleanField("Delivered ones too", false_values=("", "0", "false", "no"))


class ManyForm(FlaskForm):
    """Why they are sent again; the reason stands in the log of each beside the name."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the log of each."), Length(max=REASON_MAX)],
        filters=[folded],
    )
