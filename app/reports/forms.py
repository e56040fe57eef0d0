"""Query parameters of the reports."""

from __future__ import annotations

from wtforms import SelectField, StringField
from wtforms.validators import Length, Optional

from app.reports.delivery_health import DEFAULT_RANGE, RANGES
from app.ui.fields import Day, choices
from app.ui.forms import Form


class DeliveryHealthForm(Form):
    """``GET /health``."""

    range = SelectField(
        "Range",
        [Optional()],
        choices=choices([(time_range.name, time_range.label) for time_range in RANGES.values()]),
        default=DEFAULT_RANGE,
    )
    partner = StringField("Partner", [Optional(), Length(max=80)])


class ResponseReportForm(Form):
    """``GET /reports/answers``; both days are included."""

    since = Day("From", [Optional()])
    until = Day("To", [Optional()])
    supplier = StringField("Supplier", [Optional(), Length(max=100)])
