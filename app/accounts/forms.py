"""The sign-in form, what is set for a supplier, and people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from app.accounts.models import Role
from app.network.vocabulary import DEVICE_TAG_MAX, DeviceTag
from app.ui.fields import choices, folded


class LoginForm(FlaskForm):
    """Name and password. Which of them was wrong is never told."""

    username = StringField("User name", [InputRequired("Enter your user name."), Length(max=80)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=200)])


class DeviceTagForm(FlaskForm):
    """The device tag with which a supplier's answers start; both empty means the app's own."""

    b2b_id = HiddenField("Supplier", [InputRequired("It does not say which supplier.")])
    device_tag_name = StringField("Tag", [Length(max=DEVICE_TAG_MAX)], filters=[folded])
    device_tag_value = StringField("Value", [Length(max=DEVICE_TAG_MAX)], filters=[folded])

    def validate_device_tag_value(self, field: Any) -> None:
        if bool(field.data) != bool(self.device_tag_name.data):
            raise ValidationError("Give a tag and a value, or neither.")
        if self.device_tag_name.data == DeviceTag.GEOCODE and not _PLACE.fullmatch(field.data):
            raise ValidationError("Latitude and longitude with four decimals each, such as 18.5204,73.8567.")


_PLACE = re.compile(r"-?\d{1,2}\.\d{4},-?\d{1,3}\.\d{4}")

ROLES = {
    Role.SUPPLIER: "Supplier staff",
    Role.MANAGER: "Manager",
    Role.SUPPORT: "Support",
    Role.ADMIN: "Administrator",
}
"""What people call the roles."""


class PersonForm(FlaskForm):
    """What a person may."""

    full_name = StringField("Full name", [Length(max=120)], filters=[folded])
    role = SelectField("Role", choices=choices([(role.value, words) for role, words in ROLES.items()]))
    supplier_ids = TextAreaField("Supplier B2B ids", [Length(max=10_000)])
    active = BooleanField("May sign in", default=True)

    @property
    def ids(self) -> list[str]:
        """The supplier ids that were typed; see ``ids_in``. Errors: ValueError."""
        return ids_in(self.supplier_ids.data or "")

    def validate_supplier_ids(self, field: Any) -> None:
        try:
            ids_in(field.data or "")
        except ValueError as odd:
            raise ValidationError(str(odd)) from None


_BETWEEN_IDS = re.compile(r"[\s,;]+")


def ids_in(text: str) -> list[str]:
    """Supplier ids, one a line; several on a line are told apart where each looks like one, with its @.

    The contract lets an id hold spaces and commas, but no quotes: in quotes it is taken as it is.
    Errors: ValueError for a line that may be one id or several; the text says what to do.
    """
    ids: list[str] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        pieces = [one for one in _BETWEEN_IDS.split(line) if one]
        if len(line) > 2 and line[0] == line[-1] == '"' and '"' not in line[1:-1]:
            ids.append(line[1:-1])
        elif len(pieces) == 1 or all("@" in one for one in pieces):
            ids += pieces
        else:
            said = "Put one a line, and one that has a space or comma in quotes."
            raise ValueError(f"Is “{line[:60]}” one id? {said}")
    return ids


def lines_of(ids: Iterable[str]) -> str:
    """These supplier ids as ``ids_in`` reads them."""
    return "\n".join(f'"{one}"' if _BETWEEN_IDS.search(one) else one for one in sorted(ids))


class NewPersonForm(PersonForm):
    """The same, and the name by which the person signs in."""

    name = StringField("User name", [InputRequired("Give a name to sign in with."), Length(max=80)])
