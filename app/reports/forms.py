"""What of the reports is wanted."""

from __future__ import annotations

from wtforms import Form, SelectField, StringField
from wtforms.validators import Length, Optional

from app.reports.delivery_health import RANGES, USUAL
from app.ui.fields import Day, choices


class HealthForm(Form):
    """``GET /health``."""

    range = SelectField(
        "Range",
        [Optional()],
        choices=choices([(one.name, one.words) for one in RANGES.values()]),
        default=USUAL,
    )
    partner = StringField("Partner", [Optional(), Length(max=80)])


class AnswersForm(Form):
    """``GET /reports/answers``; both days count."""

    since = Day("From", [Optional()])
    until = Day("To", [Optional()])
    supplier = StringField("Supplier", [Optional(), Length(max=100)])
