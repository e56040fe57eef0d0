"""Permissions, and the roles that have them."""

from __future__ import annotations

from enum import StrEnum

from app.accounts.models import Person, Role


class Permission(StrEnum):
    """Something that a route lets a user do."""

    VIEW = "view"  # the orders and messages of the person's own suppliers
    VIEW_ALL = "view_all"
    RESPOND = "respond"
    ASSIGN = "assign"  # orders to the supplier's staff
    EXPORT = "export"
    VIEW_AUDIT_TRAIL = "view_audit_trail"
    RESEND = "resend"
    RESEND_DELIVERED = "resend_delivered"
    CANCEL = "cancel"
    PAUSE_PARTNERS = "pause_partners"
    TRIAGE = "triage"  # unmatched messages, partners with a problem, orders without a user
    SEND_TEST = "send_test"
    MANAGE_PARTNERS = "manage_partners"
    MANAGE_USERS = "manage_users"


_SUPPORT = frozenset(
    {
        Permission.VIEW,
        Permission.VIEW_ALL,
        Permission.ASSIGN,
        Permission.RESEND,
        Permission.CANCEL,
        Permission.PAUSE_PARTNERS,
        Permission.TRIAGE,
        Permission.SEND_TEST,
    }
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SUPPLIER: frozenset({Permission.VIEW, Permission.RESPOND, Permission.ASSIGN}),
    Role.MANAGER: frozenset(
        {
            Permission.VIEW,
            Permission.VIEW_ALL,
            Permission.ASSIGN,
            Permission.EXPORT,
            Permission.VIEW_AUDIT_TRAIL,
        }
    ),
    Role.SUPPORT: _SUPPORT,
    Role.ADMIN: _SUPPORT | {Permission.RESEND_DELIVERED, Permission.MANAGE_PARTNERS, Permission.MANAGE_USERS},
}


def can(person: Person, permission: Permission) -> bool:
    """Whether the person's role has the permission."""
    return permission in ROLE_PERMISSIONS[person.role]
