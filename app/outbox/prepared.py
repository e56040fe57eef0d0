"""Statements that are compiled once and then go straight to the driver.

At thousands of messages a second, what SQLAlchemy does around a statement costs more than the statement.
Types are still those of the columns, errors those of SQLAlchemy.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, JSON, ColumnElement, Connection, Dialect, any_, bindparam, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

Convert = Callable[[Any], Any]
Among = Callable[[ColumnElement[Any], str], ColumnElement[bool]]
CONNECTION = "connection"
"""In a session's info: the connection that it is bound to and has begun, so that it need not be asked."""


def by_dialect(statement: Callable[[Among], Any]) -> dict[str, Any]:
    """A statement over a list of values that is one parameter, however many they are; for ``Prepared``.

    It is given ``among(column, name)``: the condition that the column is among the values of a parameter.
    """
    return {"sqlite": statement(_among_sqlite), "postgresql": statement(_among_postgresql)}


def _among_sqlite(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    values = func.json_each(bindparam(name, type_=JSON)).table_valued("value")
    return column.in_(select(values.c.value))


def _among_postgresql(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column == any_(bindparam(name, type_=ARRAY(column.type)))


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement as one driver takes it; ``given`` are its parameters in order, ``constants`` its own."""

    text: str
    positional: bool
    given: tuple[tuple[str, Convert | None], ...]
    constants: Mapping[str, Any]

    def parameters(self, row: Mapping[str, Any]) -> Any:
        """The row as the driver wants it."""
        values = {**self.constants, **row} if self.constants else row
        if self.positional:
            return [
                values[name] if convert is None else convert(values[name]) for name, convert in self.given
            ]
        return {
            name: values[name] if convert is None else convert(values[name]) for name, convert in self.given
        }


class Prepared:
    """One statement of Core, whose parameters are ``bindparam``s.

    ``statement`` may differ by the dialect's name. ``columns`` are what it returns, if it returns rows.
    """

    def __init__(
        self, statement: Any | Mapping[str, Any], columns: Sequence[ColumnElement[Any]] = ()
    ) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._row: Any = namedtuple("_row", [column.key or "" for column in columns])  # type: ignore[misc]
        self._compiled: dict[str, _Compiled] = {}
        self._results: dict[str, list[Convert | None]] = {}

    def rows(self, session: Session, **values: Any) -> list[Any]:
        """Run it once, and return all its rows as named tuples of the columns. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.execute(compiled.text, compiled.parameters(values))
            converts = self._converts(session, cursor)
            return [
                self._row._make(
                    value if convert is None else convert(value)
                    for convert, value in zip(converts, row, strict=True)
                )
                for row in cursor.fetchall()
            ]

    def run(self, session: Session, **values: Any) -> None:
        """Run it once; what it returns is left. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.execute(compiled.text, compiled.parameters(values))

    def many(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.executemany(compiled.text, [compiled.parameters(row) for row in rows])

    def _converts(self, session: Session, cursor: Any) -> list[Convert | None]:
        """How the driver's values become Python's; psycopg tells their types only with an answer."""
        dialect = session.get_bind().dialect
        converts = self._results.get(dialect.name)
        if converts is None:
            converts = self._results[dialect.name] = [
                column.type.dialect_impl(dialect).result_processor(dialect, said[1])
                for column, said in zip(self._columns, cursor.description, strict=True)
            ]
        return converts

    @contextmanager
    def _on(self, session: Session) -> Iterator[tuple[_Compiled, Any]]:
        connection: Connection | None = session.info.get(CONNECTION)
        if connection is None:
            session.flush()  # what was changed through the ORM comes first, as with session.execute
            connection = session.connection()
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        cursor: Any = connection.connection.cursor()
        try:
            yield compiled, cursor
        except dialect.loaded_dbapi.Error as error:
            base = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(compiled.text, None, error, base, dialect=dialect) from error
        finally:
            cursor.close()

    def _compile(self, dialect: Dialect) -> _Compiled:
        statement = self._statement
        if isinstance(statement, Mapping):
            statement = statement[dialect.name]
        compiled = statement.compile(dialect=dialect)
        converts = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        return _Compiled(
            text=str(compiled),
            positional=bool(compiled.positional),
            given=tuple((name, converts[name]) for name in compiled.positiontup or compiled.binds),
            constants={
                name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required
            },
        )
