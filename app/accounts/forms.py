"""Forms for sign-in, supplier settings and user accounts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from wtforms import (
    BooleanField,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, Optional, Regexp, ValidationError

from app.accounts.passwords import PASSWORD_MAX
from app.accounts.presenters import DENSITIES, PERSON_ERRORS, ROLE_LABELS, THEMES
from app.accounts.service import PersonError
from app.network.vocabulary import DEVICE_TAG_MAX, DeviceTag
from app.ui.fields import choices, folded
from app.ui.forms import FlaskForm

_LATITUDE_LONGITUDE = re.compile(r"-?\d{1,2}\.\d{4},-?\d{1,3}\.\d{4}")
_ERROR_FIELDS = {
    PersonError.USERNAME_INVALID: "name",
    PersonError.USERNAME_TAKEN: "name",
    PersonError.SUPPLIER_REQUIRED: "supplier_ids",
    PersonError.SUPPLIER_NOT_ALLOWED: "supplier_ids",
    PersonError.SUPPLIER_ID_LENGTH: "supplier_ids",
    PersonError.SUPPLIER_ID_CHARACTERS: "supplier_ids",
}
"""The field of each error. All other errors are shown above the form."""
_ID_SEPARATORS = re.compile(r"[\s,;]+")


def mail_address_field() -> StringField:
    """An email address, which may be empty."""
    message = "Enter an email address, such as asha@supplier.example."
    checks = [Optional(), Length(max=200), Regexp(r"[^\s@<>,;:\"]+@[A-Za-z0-9.-]+$", message=message)]
    return StringField("Email address", checks, filters=[folded])


class LoginForm(FlaskForm):
    """The sign-in form."""

    username = StringField("Username", [InputRequired("Enter your username."), Length(max=80)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=PASSWORD_MAX)])


class AccountForm(FlaskForm):
    """The data and preferences that users change themselves."""

    full_name = StringField("Full name", [Length(max=120)], filters=[folded])
    mail_address = mail_address_field()
    time_zone = SelectField("Time zone")
    theme = RadioField("Theme", choices=choices(THEMES.items()))
    density = RadioField("List density", choices=choices(DENSITIES.items()))
    has_shortcuts = BooleanField("Keyboard shortcuts")
    version = HiddenField("Version")

    def __init__(self, *, default_zone: str, **more: Any) -> None:
        super().__init__(**more)
        self.time_zone.choices = choices(
            [("", f"Default ({default_zone})"), *((zone, zone) for zone in time_zones())]
        )


@lru_cache(maxsize=1)
def time_zones() -> tuple[str, ...]:
    """The names of all time zones by place."""
    return tuple(
        sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    )


class ConfirmForm(FlaskForm):
    """The password again, before a sensitive action."""

    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=PASSWORD_MAX)])


class PasswordForm(FlaskForm):
    """A new password, with the current one."""

    current_password = PasswordField(
        "Current password", [InputRequired("Enter your current password."), Length(max=PASSWORD_MAX)]
    )
    new_password = PasswordField(
        "New password", [InputRequired("Enter a new password."), Length(max=PASSWORD_MAX)]
    )


class DeviceTagForm(FlaskForm):
    """The default device tag of a supplier; leave both fields empty for the default of the app."""

    b2b_id = HiddenField("Supplier", [InputRequired("The supplier is missing.")])
    device_tag_name = StringField("Device tag", [Length(max=DEVICE_TAG_MAX)], filters=[folded])
    device_tag_value = StringField("Value", [Length(max=DEVICE_TAG_MAX)], filters=[folded])

    def validate_device_tag_value(self, field: Any) -> None:
        if bool(field.data) != bool(self.device_tag_name.data):
            raise ValidationError("Enter both a tag and a value, or leave both empty.")
        is_place = self.device_tag_name.data == DeviceTag.GEOCODE
        if is_place and not _LATITUDE_LONGITUDE.fullmatch(field.data):
            raise ValidationError("Enter latitude and longitude with four decimals, such as 18.5204,73.8567.")


class PersonForm(FlaskForm):
    """Name, email address, role and suppliers of a person."""

    full_name = StringField("Full name", [Length(max=120)], filters=[folded])
    mail_address = mail_address_field()
    role = SelectField("Role", choices=choices([(role.value, label) for role, label in ROLE_LABELS.items()]))
    known_supplier_ids = SelectMultipleField("Suppliers")
    supplier_ids = TextAreaField("Other supplier B2B IDs", [Length(max=10_000)])
    is_new_supplier = BooleanField("These are new supplier IDs")
    active = BooleanField("Active", default=True)
    version = HiddenField("Version")

    def __init__(self, *, suppliers: Mapping[str, str], **more: Any) -> None:
        """``suppliers`` are the names of the known suppliers by id."""
        super().__init__(**more)
        self._suppliers = suppliers
        self.known_supplier_ids.choices = choices(
            (b2b_id, f"{name} ({b2b_id})" if name else b2b_id) for b2b_id, name in suppliers.items()
        )

    def add_error(self, error: PersonError) -> None:
        """Add an error of the account to its field."""
        field = self._fields.get(_ERROR_FIELDS.get(error, ""))
        errors = self.form_errors if field is None else field.errors
        errors.append(PERSON_ERRORS[error])

    @property
    def ids(self) -> list[str]:
        """The chosen and the typed supplier ids. Errors: ValueError, see ``parse_ids``."""
        return [*(self.known_supplier_ids.data or []), *parse_ids(self.supplier_ids.data or "")]

    def validate_supplier_ids(self, field: Any) -> None:
        """An unknown id may be a typo, so it must be confirmed."""
        try:
            ids = parse_ids(field.data or "")
        except ValueError as error:
            raise ValidationError(str(error)) from None
        unknown = [b2b_id for b2b_id in ids if b2b_id not in self._suppliers]
        if unknown and not self.is_new_supplier.data:
            raise ValidationError(self._unknown_id(unknown[0]))

    def _unknown_id(self, b2b_id: str) -> str:
        similar = get_close_matches(b2b_id, self._suppliers, n=1, cutoff=0.7)
        advice = f" Did you mean “{similar[0]}”?" if similar else ""
        return f"“{b2b_id[:60]}” is not a known supplier ID.{advice} If it is new, confirm it below."


def version_of(fields: Mapping[str, object]) -> str:
    """The version of an account with these fields, which lets a form detect changes made in the meantime."""
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


class NewPersonForm(PersonForm):
    """The form for a new account, which also has a username."""

    name = StringField("Username", [InputRequired("Enter a username."), Length(max=80)])


def parse_ids(text: str) -> list[str]:
    """The supplier ids of a text, one per line; a line is split only if each part looks like an id, with @.

    The contract allows spaces and commas in an id, but no quotes: a quoted line is taken literally.
    Errors: ValueError with a sentence for the reader, for a line that may be one id or several.
    """
    ids: list[str] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        parts = [part for part in _ID_SEPARATORS.split(line) if part]
        if len(line) > 2 and line[0] == line[-1] == '"' and '"' not in line[1:-1]:
            ids.append(line[1:-1])
        elif len(parts) == 1 or all("@" in part for part in parts):
            ids += parts
        else:
            raise ValueError(
                f"“{line[:60]}” may be one ID or several. "
                "Enter one per line, and put an ID with a space or comma in quotes."
            )
    return ids
