"""The base of all tables and their column types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, DateTime, Enum, LargeBinary, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite stores no zone, so reading adds it."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """On SQLite format the text here: SQLAlchemy's own formatting takes four times as long."""
        return super().bind_processor(dialect) if dialect.name == "postgresql" else _as_text

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time in the database needs a time zone")
    return value.astimezone(UTC)


@lru_cache(maxsize=256)  # one time is written to many columns of many rows
def _as_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    # Fixed width, so that the texts sort like the times.
    return _in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def enum_type(enum: type[StrEnum], *, length: int = 24) -> Enum:
    """A column type that stores an enum's values as text."""
    return Enum(
        enum,
        native_enum=False,
        length=length,
        values_callable=_values,
    )


def _values(enum: type[StrEnum]) -> list[str]:
    return [member.value for member in enum]


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime,
        bytes: LargeBinary,
        dict[str, Any]: JSON().with_variant(JSONB, "postgresql"),
        list[str]: JSON().with_variant(JSONB, "postgresql"),
        list[int]: JSON().with_variant(JSONB, "postgresql"),
        list[float]: JSON().with_variant(JSONB, "postgresql"),
        list[list[str]]: JSON().with_variant(JSONB, "postgresql"),
        list[dict[str, Any]]: JSON().with_variant(JSONB, "postgresql"),
    }
