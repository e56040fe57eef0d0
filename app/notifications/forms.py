"""The form for notification preferences."""

from __future__ import annotations

from typing import Any

from wtforms import SelectField
from wtforms.validators import ValidationError

from app.accounts.models import Person, Role
from app.notifications.models import Category, EmailTiming
from app.notifications.preferences import NotificationPreferences
from app.orders.queries import SOON_HOURS
from app.ui.fields import choices
from app.ui.forms import FlaskForm

LABELS = {
    Category.ASSIGNED: "Assigned to me",
    Category.MENTIONED: "Mentions",
    Category.ORDERS: "New and changed orders",
    Category.DEADLINES: f"Deadlines in the next {SOON_HOURS} hours",
    Category.RESPONSES: "Refused and failed responses",
    Category.PARTNERS: "Failing and paused partners",
}
CATEGORIES = {
    Role.SUPPLIER: set(Category),
    Role.MANAGER: {Category.MENTIONED},
    Role.SUPPORT: {Category.ASSIGNED, Category.MENTIONED, Category.PARTNERS},
    Role.ADMIN: {Category.ASSIGNED, Category.MENTIONED, Category.PARTNERS},
}
"""The categories that the form offers to a role."""
CHOICES = [
    (EmailTiming.AT_ONCE.value, "Email immediately"),
    (EmailTiming.DIGEST.value, "Daily email"),
    (EmailTiming.OFF.value, "Off"),
]
HOURS = [("", "None"), *((str(hour), f"{hour:02}:00") for hour in range(24))]


class PreferencesForm(FlaskForm):
    """How a person receives each category of notifications, and the quiet hours."""

    assigned = SelectField(LABELS[Category.ASSIGNED], choices=choices(CHOICES))
    mentioned = SelectField(LABELS[Category.MENTIONED], choices=choices(CHOICES))
    orders = SelectField(LABELS[Category.ORDERS], choices=choices(CHOICES))
    deadlines = SelectField(LABELS[Category.DEADLINES], choices=choices(CHOICES))
    responses = SelectField(LABELS[Category.RESPONSES], choices=choices(CHOICES))
    partners = SelectField(LABELS[Category.PARTNERS], choices=choices(CHOICES))
    quiet_from = SelectField("Quiet hours from", choices=choices(HOURS))
    quiet_until = SelectField("Until", choices=choices(HOURS))

    def __init__(self, *, role: Role, **more: Any) -> None:
        super().__init__(**more)
        for category in set(Category) - CATEGORIES[role]:
            del self[category.value]

    def validate_quiet_until(self, field: Any) -> None:
        """Quiet hours have a beginning and an end."""
        if bool(field.data) != bool(self.quiet_from.data):
            raise ValidationError("Choose both hours, or None for both.")
        if field.data and field.data == self.quiet_from.data:
            raise ValidationError("Choose two different hours.")

    @classmethod
    def of(cls, person: Person) -> PreferencesForm:
        """The form with the saved preferences."""
        saved = NotificationPreferences.of(person)
        values = {category.value: timing.value for category, timing in saved.timings.items()}
        hours = {
            name: "" if hour is None else str(hour)
            for name, hour in (("quiet_from", saved.quiet_from), ("quiet_until", saved.quiet_until))
        }
        return cls(role=person.role, formdata=None, data={**values, **hours})

    def preferences(self, saved: NotificationPreferences) -> NotificationPreferences:
        """The preferences of the valid form; those that it does not ask for stay as saved."""
        timings = {
            category: EmailTiming(self[category.value].data) if category.value in self else timing
            for category, timing in saved.timings.items()
        }
        hours = [int(field.data) if field.data else None for field in (self.quiet_from, self.quiet_until)]
        return NotificationPreferences(timings, *hours)
