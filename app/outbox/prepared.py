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

from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    any_,
    bindparam,
    func,
    select,
)
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
    """A statement as one driver takes it."""

    text: str
    positional: bool
    places: tuple[tuple[str, str | None, Convert | None, Any], ...]
    """Of each parameter the driver's name, the name under which it is given (None if the statement brings
    the value itself), how a value becomes the driver's, and the statement's own."""

    def parameters(self, row: Mapping[str, Any]) -> Any:
        """The row as the driver wants it."""
        if self.positional:
            return [
                own if given is None else row[given] if convert is None else convert(row[given])
                for _, given, convert, own in self.places
            ]
        return {
            name: own if given is None else row[given] if convert is None else convert(row[given])
            for name, given, convert, own in self.places
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
        self._results: dict[str, list[tuple[int, Convert]]] = {}

    def rows(self, session: Session, **values: Any) -> list[Any]:
        """Run it once, and return all its rows as named tuples of the columns. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.execute(compiled.text, compiled.parameters(values))
            converts = self._converts(session, cursor)
            found = [list(row) for row in cursor.fetchall()]
            for row in found:
                for place, convert in converts:
                    row[place] = convert(row[place])
            return [self._row._make(row) for row in found]

    def run(self, session: Session, **values: Any) -> None:
        """Run it once; what it returns is left. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.execute(compiled.text, compiled.parameters(values))

    def many(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row. Errors: DBAPIError."""
        with self._on(session) as (compiled, cursor):
            cursor.executemany(compiled.text, [compiled.parameters(row) for row in rows])

    def _converts(self, session: Session, cursor: Any) -> list[tuple[int, Convert]]:
        """How which of the driver's values become Python's; psycopg tells their types only with an answer."""
        dialect = session.get_bind().dialect
        converts = self._results.get(dialect.name)
        if converts is None:
            each = [
                column.type.dialect_impl(dialect).result_processor(dialect, said[1])
                for column, said in zip(self._columns, cursor.description, strict=True)
            ]
            converts = [(place, convert) for place, convert in enumerate(each) if convert is not None]
            self._results[dialect.name] = converts
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
        return _Compiled(
            text=str(compiled),
            positional=bool(compiled.positional),
            places=tuple(
                self._place(name, compiled.binds[name], dialect)
                for name in compiled.positiontup or compiled.binds
            ),
        )

    @staticmethod
    def _place(
        name: str, bind: BindParameter[Any], dialect: Dialect
    ) -> tuple[str, str | None, Convert | None, Any]:
        convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if bind.required:
            return name, name, convert, None
        # Converted once, not for each row.
        own = bind.effective_value
        return name, None, None, own if convert is None else convert(own)
