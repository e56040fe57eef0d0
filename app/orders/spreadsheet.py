"""Reads a filled-in response sheet, XLSX or CSV, as rows of text. Everything in the file is hostile. Pure."""

from __future__ import annotations

import csv
import io
import logging
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any

from app.network.text import search_key

log = logging.getLogger(__name__)

# A sheet that this app made may have a longer field than the module allows, such as an order's subject.
csv.field_size_limit(2**31 - 1)

UPLOAD_MAX = 5 * 1024 * 1024
"""Maximum size of a file, in bytes."""
UNPACKED_MAX = 12 * 1024 * 1024
"""Maximum size of a workbook after decompression, in bytes."""
PARTS_MAX = 1000
TAGS_MAX = 400_000
"""Maximum number of XML tags: 2,000 rows need half as many, and the library takes up to 30 µs each."""
ROWS_MAX = 2000
"""Maximum number of rows with a value, besides the header."""
ROWS_READ = 10_000
"""Maximum number of rows that are read, since spreadsheets often append empty ones."""
COLUMNS_MAX = 100
CELL_MAX = 1000
"""Maximum number of characters that are read from a cell; no column allows that many."""


class SheetColumn(StrEnum):
    """The columns that are read, by their headers in the file."""

    ORDER = "Order ID"
    VERSION = "Version"
    PO_NUMBER = "PO number"
    RESPONSE = "Response"
    REMARKS = "Remarks"
    OWN_NUMBER = "Supplier order number"
    PROMISED_DATE = "Promised date"


REQUIRED_COLUMNS = (SheetColumn.ORDER, SheetColumn.VERSION, SheetColumn.RESPONSE)
FILLED_IN = (SheetColumn.RESPONSE, SheetColumn.REMARKS, SheetColumn.OWN_NUMBER, SheetColumn.PROMISED_DATE)
"""The columns that are empty in the download."""
_HEADERS = {search_key(column): column for column in SheetColumn} | {
    # The headers of the export of orders.
    "id": SheetColumn.ORDER,
    "buyer po number": SheetColumn.PO_NUMBER,
    "supplier response": SheetColumn.RESPONSE,
    "supplier remarks": SheetColumn.REMARKS,
}


class SheetProblem(StrEnum):
    """Why a file cannot be used."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    OLD_FORMAT = "old_format"
    UNREADABLE = "unreadable"
    NOT_TEXT = "not_text"
    NO_COLUMN = "no_column"
    TOO_MANY_ROWS = "too_many_rows"
    NO_RESPONSES = "no_responses"


class BadSheet(ValueError):
    """The file cannot be used. ``detail`` is the missing column, where one is missing."""

    def __init__(self, problem: SheetProblem, detail: str = "") -> None:
        super().__init__(problem)
        self.problem, self.detail = problem, detail


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row that was filled in: its number in the file, and the text of its cells by column."""

    number: int
    cells: dict[SheetColumn, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The filled-in rows, and the number of other rows."""

    rows: Sequence[SheetRow]
    blank: int


def read_sheet(content: bytes) -> Sheet:
    """The rows of a file. Errors: BadSheet."""
    if not content.strip():
        raise BadSheet(SheetProblem.EMPTY)
    if len(content) > UPLOAD_MAX:
        raise BadSheet(SheetProblem.TOO_LARGE)
    if content.startswith(b"\xd0\xcf\x11\xe0"):  # also a workbook with a password
        raise BadSheet(SheetProblem.OLD_FORMAT)
    is_workbook = content.startswith(b"PK\x03\x04")
    return _read_rows(_workbook_rows(content) if is_workbook else _csv_rows(content))


def _read_rows(rows: Iterable[Sequence[str]]) -> Sheet:
    numbered = enumerate(rows, 1)
    header = next((row for _, row in numbered if any(row)), ())
    columns = _columns(header)
    for column in REQUIRED_COLUMNS:
        if column not in columns:
            raise BadSheet(SheetProblem.NO_COLUMN, column)
    rows_read: list[SheetRow] = []
    blank = 0
    for number, row in numbered:
        cells = {column: row[index] for column, index in columns.items() if index < len(row)}
        if not any(cells.values()):
            continue
        if len(rows_read) + blank == ROWS_MAX:
            raise BadSheet(SheetProblem.TOO_MANY_ROWS)
        if any(cells.get(column) for column in FILLED_IN):
            rows_read.append(SheetRow(number, cells))
        else:
            blank += 1
    if not rows_read:
        raise BadSheet(SheetProblem.NO_RESPONSES)
    return Sheet(rows_read, blank)


def _columns(header: Sequence[str]) -> dict[SheetColumn, int]:
    """The index of each known column; the first counts if a header occurs twice."""
    columns: dict[SheetColumn, int] = {}
    for index, name in enumerate(header):
        column = _HEADERS.get(search_key(name.replace("_", " ")))
        if column:
            columns.setdefault(column, index)
    return columns


def _workbook_rows(content: bytes) -> Iterator[Sequence[str]]:
    # The library takes a while to import, and most processes never need it.
    from openpyxl import load_workbook  # noqa: PLC0415

    try:
        is_bomb = _is_bomb(content)
    except Exception as error:
        raise BadSheet(SheetProblem.UNREADABLE) from error
    if is_bomb:
        raise BadSheet(SheetProblem.TOO_LARGE)
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        rows = book.worksheets[0].iter_rows(
            min_row=1, max_row=ROWS_READ, max_col=COLUMNS_MAX, values_only=True
        )
        for row in rows:
            yield [_text(value) for value in row]
        book.close()
    except Exception as error:  # the library documents no error for a broken workbook
        log.info("a workbook cannot be read: %s: %s", type(error).__name__, error)
        raise BadSheet(SheetProblem.UNREADABLE) from error


def _is_bomb(content: bytes) -> bool:
    """Whether a workbook would take too much memory or time; the library reads some parts as a whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
        # Before anything is decompressed: Python reads no more of a part than the size declared here.
        if len(parts) > PARTS_MAX or sum(part.file_size for part in parts) > UNPACKED_MAX:
            return True
        return sum(archive.read(part).count(b"<") for part in parts) > TAGS_MAX


def _csv_rows(content: bytes) -> Iterator[Sequence[str]]:
    text = _decoded(content)
    if text[:4].lower() == "sep=":  # a line for spreadsheets only
        text = text.partition("\n")[2]
    try:
        # Use the delimiter that yields the most known headers.
        delimiter = max(",;\t", key=lambda mark: len(_columns(next(_parsed(text, mark), [])[:COLUMNS_MAX])))
        for number, row in enumerate(_parsed(text, delimiter)):
            if number == ROWS_READ:
                return
            yield [_text(value) for value in row[:COLUMNS_MAX]]
    except csv.Error as error:
        raise BadSheet(SheetProblem.UNREADABLE) from error


def _parsed(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _decoded(content: bytes) -> str:
    """The text of a CSV file. Spreadsheets write UTF-8, Windows-1252, or UTF-16 with a byte order mark."""
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if is_utf16 else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise BadSheet(SheetProblem.NOT_TEXT)


def _text(value: Any) -> str:
    """A cell as text that both databases store; dates in ISO 8601, whole numbers without decimals."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        value = value.date() if value.time() == time() else value
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    text = value.isoformat() if isinstance(value, date | time) else str(value)
    text = text[:CELL_MAX].replace("\0", " ").encode("utf-8", "replace").decode()
    return text.strip()
