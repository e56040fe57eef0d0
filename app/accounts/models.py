"""People and the supplier ids that they answer for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, one_of


class Role(StrEnum):
    """What a person is here to do; see ``access.MAY`` for what each may."""

    SUPPLIER = "supplier"
    MANAGER = "manager"
    SUPPORT = "support"
    ADMIN = "admin"


class Person(Base):
    """Somebody who can sign in."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    full_name: Mapped[str] = mapped_column(String(120), default="")
    role: Mapped[Role] = mapped_column(one_of(Role))
    password_hash: Mapped[str] = mapped_column(String(200))
    # What the cookie names: changing it signs the person out everywhere.
    session_key: Mapped[str] = mapped_column(String(64), unique=True)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    suppliers: Mapped[list[PersonSupplier]] = relationship(
        cascade="all, delete-orphan", lazy="selectin", order_by="PersonSupplier.b2b_id"
    )

    # What Flask-Login asks of a user.
    is_authenticated = True
    is_anonymous = False

    @property
    def is_active(self) -> bool:
        return self.active

    def get_id(self) -> str:
        return self.session_key

    @property
    def called(self) -> str:
        """The name that other people see."""
        return self.full_name or self.name.capitalize()

    @property
    def supplier_ids(self) -> frozenset[str]:
        """The B2B ids whose orders this person may see, where the role does not see everything."""
        return frozenset(supplier.b2b_id for supplier in self.suppliers)


class Supplier(Base):
    """What an administrator set for one supplier B2B id; without a row the app's own defaults hold."""

    __tablename__ = "supplier"

    b2b_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    # The device tag with which this supplier's answers start.
    device_tag_name: Mapped[str] = mapped_column(String(100))
    device_tag_value: Mapped[str] = mapped_column(String(100))
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(120))


class PersonSupplier(Base):
    """One supplier B2B id of one person."""

    __tablename__ = "person_supplier"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    b2b_id: Mapped[str] = mapped_column(String(100), primary_key=True)
