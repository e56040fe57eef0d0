"""Statements that are compiled once and then go straight to the driver.

At thousands of messages a second, what SQLAlchemy does around a statement costs more than the statement.
Types are still those of the columns, errors those of SQLAlchemy.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
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


class _Compiled:
    """A statement as one driver takes it."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        names = tuple(compiled.positiontup or compiled.binds)
        binds = {name: compiled.binds[name] for name in names}
        converts = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()
        }
        self.text = str(compiled)
        self.errors: Any = dialect.loaded_dbapi.Error
        self._names = None if compiled.positional else names
        # Converted once, not for each row.
        self._own = {
            name: _converted(bind.effective_value, converts[name])
            for name, bind in binds.items()
            if not bind.required
        }
        self._pick = _picked(names)
        self._converts = [
            (place, convert)
            for place, name in enumerate(names)
            if (convert := converts[name]) is not None and name not in self._own
        ]

    def parameters(self, row: Mapping[str, Any]) -> Any:
        """The row, and the values that the statement brings itself, as the driver wants them."""
        values = list(self._pick({**self._own, **row} if self._own else row))
        for place, convert in self._converts:
            values[place] = convert(values[place])
        return values if self._names is None else dict(zip(self._names, values, strict=True))


def _converted(value: Any, convert: Convert | None) -> Any:
    return value if convert is None else convert(value)


def _picked(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """What picks the values of these names out of a mapping, in this order."""
    if len(names) > 1:
        return itemgetter(*names)  # as fast as it gets
    return lambda row: [row[name] for name in names]


class _Cursor:
    """A cursor for one statement: its errors are SQLAlchemy's."""

    __slots__ = ("_cursor", "_dialect", "_statement")

    def __init__(self, connection: Connection, statement: _Compiled) -> None:
        self._dialect = connection.dialect
        self._statement = statement
        self._cursor: Any = connection.connection.cursor()

    def __enter__(self) -> Any:
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._cursor.close()
        errors = self._statement.errors
        if isinstance(error, errors):
            raise DBAPIError.instance(
                self._statement.text, None, error, errors, dialect=self._dialect
            ) from error


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
        connection, statement = self._on(session)
        with _Cursor(connection, statement) as cursor:
            cursor.execute(statement.text, statement.parameters(values))
            converts = self._converts(connection.dialect, cursor)
            found = [list(row) for row in cursor.fetchall()]
            for row in found:
                for place, convert in converts:
                    row[place] = convert(row[place])
            return [self._row._make(row) for row in found]

    def run(self, session: Session, **values: Any) -> None:
        """Run it once; what it returns is left. Errors: DBAPIError."""
        connection, statement = self._on(session)
        with _Cursor(connection, statement) as cursor:
            cursor.execute(statement.text, statement.parameters(values))

    def many(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row. Errors: DBAPIError."""
        connection, statement = self._on(session)
        with _Cursor(connection, statement) as cursor:
            cursor.executemany(statement.text, [statement.parameters(row) for row in rows])

    def _converts(self, dialect: Dialect, cursor: Any) -> list[tuple[int, Convert]]:
        """How which of the driver's values become Python's; psycopg tells their types only with an answer."""
        converts = self._results.get(dialect.name)
        if converts is None:
            each = [
                column.type.dialect_impl(dialect).result_processor(dialect, said[1])
                for column, said in zip(self._columns, cursor.description, strict=True)
            ]
            converts = [(place, convert) for place, convert in enumerate(each) if convert is not None]
            self._results[dialect.name] = converts
        return converts

    def _on(self, session: Session) -> tuple[Connection, _Compiled]:
        """The connection of the session, and the statement as its driver takes it."""
        connection: Connection | None = session.info.get(CONNECTION)
        if connection is None:
            session.flush()  # what was changed through the ORM comes first, as with session.execute
            connection = session.connection()
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            statement = self._statement
            if isinstance(statement, Mapping):
                statement = statement[dialect.name]
            compiled = self._compiled[dialect.name] = _Compiled(statement, dialect)
        return connection, compiled
