"""People, and the suppliers they respond for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, enum_type
from app.db.encryption import EncryptedJSON


class Role(StrEnum):
    """The role of a person; ``permissions.ROLE_PERMISSIONS`` lists the permissions of each."""

    SUPPLIER = "supplier"
    MANAGER = "manager"
    SUPPORT = "support"
    ADMIN = "admin"


class Person(Base):
    """A user account."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column("name", String(80), unique=True)
    full_name: Mapped[str] = mapped_column(String(120), default="")
    role: Mapped[Role] = mapped_column(enum_type(Role))
    password_hash: Mapped[str] = mapped_column(String(200))
    # An administrator set the password, so only the page to change it opens.
    must_change_password: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    mail_address: Mapped[str] = mapped_column(String(200), default="")
    # The name of a time zone; empty for the one of the app.
    time_zone: Mapped[str] = mapped_column(String(60), default="")
    # Preferences of the account page by name; a missing one has its default.
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict)
    suppliers: Mapped[list[PersonSupplier]] = relationship(
        cascade="all, delete-orphan", lazy="selectin", order_by="PersonSupplier.b2b_id"
    )

    # The interface that Flask-Login expects of a user.
    is_authenticated = True
    is_anonymous = False

    @property
    def is_active(self) -> bool:
        return self.active

    @property
    def display_name(self) -> str:
        """The name that other people see: the full name, or the username if there is none."""
        return self.full_name or self.username.capitalize()

    @property
    def supplier_ids(self) -> frozenset[str]:
        """The supplier B2B ids whose orders this person may see; ignored for roles that see all."""
        return frozenset(supplier.b2b_id for supplier in self.suppliers)


class UserSession(Base):
    """One sign-in. The cookie carries a random token, and only its SHA-256 is stored."""

    __tablename__ = "user_session"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    # The last activity, to the minute; background polls do not count.
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    # When the person last entered the password.
    confirmed_at: Mapped[datetime]
    address: Mapped[str] = mapped_column(String(60))
    user_agent: Mapped[str] = mapped_column(String(300))
    person: Mapped[Person] = relationship()


class Throttle(Base):
    """Failed sign-ins or wrong keys of one account or address, and until when more are refused."""

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    failures: Mapped[int]
    last_failure_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime]


class KeptForm(Base):
    """A form sent after its session ended; it is shown again after sign-in."""

    __tablename__ = "kept_form"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    # Pairs of name and value. Encrypted, since forms hold keys and passwords of partners.
    fields: Mapped[list[list[str]]] = mapped_column(EncryptedJSON)
    address: Mapped[str] = mapped_column(String(60))
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Supplier(Base):
    """Settings of one supplier B2B id; without a row, the defaults of the app apply."""

    __tablename__ = "supplier"

    b2b_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    # The default device tag of this supplier's responses.
    device_tag_name: Mapped[str] = mapped_column(String(100))
    device_tag_value: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(120))


class PersonSupplier(Base):
    """A supplier B2B id that a person responds for."""

    __tablename__ = "person_supplier"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    b2b_id: Mapped[str] = mapped_column(String(100), primary_key=True)
