"""What is to be sent again, and why."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Length, Optional

from app.delivery.service import REASON_MAX
from app.ui.fields import Moment, folded
from app.webhooks.forms import MessageFilterForm


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
