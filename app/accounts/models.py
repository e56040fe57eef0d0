"""People, and the suppliers they respond for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, enum_type


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
    # Stored in the session cookie: replacing it signs the person out everywhere.
    session_key: Mapped[str] = mapped_column(String(64), unique=True)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    suppliers: Mapped[list[PersonSupplier]] = relationship(
        cascade="all, delete-orphan", lazy="selectin", order_by="PersonSupplier.b2b_id"
    )

    # The interface that Flask-Login expects of a user.
    is_authenticated = True
    is_anonymous = False

    @property
    def is_active(self) -> bool:
        return self.active

    def get_id(self) -> str:
        return self.session_key

    @property
    def display_name(self) -> str:
        """The name that other people see: the full name, or the username if there is none."""
        return self.full_name or self.username.capitalize()

    @property
    def supplier_ids(self) -> frozenset[str]:
        """The supplier B2B ids whose orders this person may see; ignored for roles that see all."""
        return frozenset(supplier.b2b_id for supplier in self.suppliers)


class Supplier(Base):
    """Settings of one supplier B2B id; without a row the defaults of the app apply."""

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
