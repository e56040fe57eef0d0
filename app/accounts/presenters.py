"""Labels of roles and sentences of the account pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.accounts.models import Person, Role, Supplier
from app.accounts.passwords import PASSWORD_MAX, PASSWORD_MIN, PasswordProblem
from app.accounts.preferences import Density, Theme
from app.accounts.service import PersonError
from app.network.vocabulary import B2B_ID_MAX

ROLE_LABELS = {
    Role.SUPPLIER: "Supplier staff",
    Role.MANAGER: "Manager",
    Role.SUPPORT: "Support",
    Role.ADMIN: "Administrator",
}

USER_CHANGED_MEANWHILE = (
    "Someone else changed this user while you were editing. Not saved. "
    "Open it again to see the changes, or save again to overwrite them."
)
ACCOUNT_CHANGED_MEANWHILE = (
    "Your account was changed while you were editing. Not saved. "
    "Open this page again to see the changes, or save again to overwrite them."
)
PERSON_ERRORS = {
    PersonError.USERNAME_INVALID: "Use lowercase letters, numbers and . _ @ - in the username.",
    PersonError.USERNAME_TAKEN: "This username is already taken.",
    PersonError.SUPPLIER_REQUIRED: "Enter at least one supplier B2B ID for supplier staff.",
    PersonError.SUPPLIER_NOT_ALLOWED: "Remove the supplier B2B IDs: other roles see all suppliers.",
    PersonError.SUPPLIER_ID_LENGTH: f"Enter supplier B2B IDs of 1 to {B2B_ID_MAX} characters.",
    PersonError.SUPPLIER_ID_CHARACTERS: 'A supplier B2B ID cannot contain " or \\.',
    PersonError.LAST_ADMINISTRATOR: (
        "This is the last active administrator. Make another user an administrator first."
    ),
}

THEMES = {Theme.SYSTEM: "System", Theme.LIGHT: "Light", Theme.DARK: "Dark"}
DENSITIES = {Density.COMFORTABLE: "Comfortable", Density.COMPACT: "Compact"}

PASSWORD_PROBLEMS = {
    PasswordProblem.LENGTH: f"Enter a password of {PASSWORD_MIN} to {PASSWORD_MAX} characters.",
    PasswordProblem.PERSONAL: "Don't use your name, username or supplier ID in the password.",
    PasswordProblem.GUESSABLE: "This password is easy to guess. Try three or four unrelated words.",
}
PASSWORD_UNCHANGED = "Choose a password that differs from the current one."  # noqa: S105
INCORRECT_PASSWORD = "Incorrect password."  # noqa: S105
INCORRECT_SIGN_IN = "Incorrect username or password."


def too_many_attempts(seconds: int) -> str:
    """How long to wait after failed attempts."""
    wait = f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
    return f"Too many failed attempts. Try again in {wait}."


def role_label(role: Role | str) -> str:
    """The label of a role."""
    return ROLE_LABELS[Role(role)]


def suppliers_of(person: Person) -> list[str]:
    """The suppliers that a person sees, one entry per line."""
    if person.role is not Role.SUPPLIER:
        return ["All suppliers"]
    return sorted(person.supplier_ids) or ["No supplier"]


def active_label(person: Person) -> str:
    """Whether the person can sign in."""
    return "Active" if person.active else "Deactivated"


_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def browser_label(user_agent: str) -> str:
    """The browser and system that a User-Agent header names: ``Firefox on Windows``."""
    browser = next((label for mark, label in _BROWSERS.items() if f"{mark}/" in user_agent), "")
    system = next((label for mark, label in _SYSTEMS.items() if mark in user_agent), "")
    return " on ".join(filter(None, [browser or "Unknown browser", system]))


@dataclass(frozen=True, slots=True)
class SupplierRow:
    """A supplier in the list: its name if an order has one, who responds for it, and its form."""

    b2b_id: str
    name: str
    staff: str
    supplier: Supplier | None
    form: Any


def supplier_rows(
    settings: Mapping[str, Supplier | None],
    forms: Mapping[str, Any],
    names: Mapping[str, str],
    staff: Mapping[str, Sequence[str]],
) -> list[SupplierRow]:
    """The suppliers by name, then those without one."""
    rows = [
        SupplierRow(b2b_id, names.get(b2b_id, ""), ", ".join(staff.get(b2b_id, [])), supplier, forms[b2b_id])
        for b2b_id, supplier in settings.items()
    ]
    return sorted(rows, key=lambda row: (not row.name, row.name, row.b2b_id))


def device_tag_source(supplier: Supplier | None) -> str:
    """Where the device tag of a supplier comes from."""
    return f"Set by {supplier.changed_by}" if supplier else "Default"
