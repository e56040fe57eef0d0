"""Rows as CSV, JSON lines and Excel, with at most one batch in memory.

Text that a spreadsheet would run as a formula is prefixed with an apostrophe in CSV; Excel cells have a type.
Amounts are exact: a number that a spreadsheet would round is written as text.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import IO, Any
from zoneinfo import ZoneInfo

import simplejson
from xlsxwriter import Workbook

from app.exports.sources import CellType, ExportColumn
from app.network.text import is_invisible

BOM = b"\xef\xbb\xbf"
"""Without the byte order mark, common spreadsheets do not recognize UTF-8."""
SHEET_ROWS = 1_048_576
VALIDATED_ROWS = 2_000
"""The number of rows whose cells offer the choices of their column."""
CELL_MAX = 32_767
"""The most characters that Excel accepts in a cell."""
MIMETYPES = {
    "csv": "text/csv",
    "jsonl": "application/jsonl; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
NAMES = {"csv": "CSV", "xlsx": "Excel", "jsonl": "JSON lines"}

Batch = Sequence[tuple[Any, ...]]
_FORMULA_MARKS = frozenset("=+-@\u2212")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_CELLS = re.compile(r"(?<=[;\t\r\n])")
"""Separators after which a spreadsheet may begin another cell."""


def write(
    file: IO[bytes],
    form: str,
    columns: Sequence[ExportColumn],
    batches: Iterable[Batch],
    zone: ZoneInfo,
    title: str,
) -> None:
    """Write rows in one of the formats; ``title`` names the sheet of a workbook."""
    if form == "xlsx":
        write_xlsx(file, columns, batches, zone, title)
    else:
        encode = as_csv if form == "csv" else as_jsonl
        file.writelines(encode(columns, batches, zone))


def as_csv(columns: Sequence[ExportColumn], batches: Iterable[Batch], zone: ZoneInfo) -> Iterator[bytes]:
    """CSV as in RFC 4180, in UTF-8 with a byte order mark."""
    yield BOM + _lines([[column.name for column in columns]])
    for batch in batches:
        yield _lines([[_cell(value, zone) for value in row] for row in batch])


def as_jsonl(columns: Sequence[ExportColumn], batches: Iterable[Batch], zone: ZoneInfo) -> Iterator[bytes]:
    """One JSON object per line. Amounts are strings, so that readers do not round them."""
    names = [column.name for column in columns]
    for batch in filter(None, batches):
        lines = (
            simplejson.dumps(
                dict(zip(names, (_plain(value, zone) for value in row), strict=True)),
                ensure_ascii=False,
                separators=(",", ":"),
            )
            for row in batch
        )
        yield ("\n".join(lines) + "\n").encode("utf-8", "replace")


def write_xlsx(
    file: IO[bytes], columns: Sequence[ExportColumn], batches: Iterable[Batch], zone: ZoneInfo, title: str
) -> None:
    """An Excel workbook. A full sheet continues on the next one."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(file, options) as book:
        strong = book.add_format({"bold": True})
        sheet, line, number = None, 0, 0
        for batch in batches:
            for row in batch:
                if sheet is None or line == SHEET_ROWS:
                    number += 1
                    sheet = _sheet(book, columns, strong, title if number == 1 else f"{title} {number}")
                    line = 1
                for place, (column, value) in enumerate(zip(columns, row, strict=True)):
                    _write(sheet, line, place, column.kind, _plain(value, zone))
                line += 1
        if sheet is None:
            _sheet(book, columns, strong, title)


def escape_formula(text: str) -> str:
    """The text in a form that spreadsheets do not run as a formula. Negative numbers are left alone.

    Some spreadsheets also begin a cell after a semicolon, tab or line break, whatever separates the columns.
    """
    cells = _CELLS.split(text)
    prefix = "'" if text.startswith(("\t", "\r", "\n")) else ""
    return prefix + "".join("'" + cell if _is_formula(cell) else cell for cell in cells)


def _is_formula(cell: str) -> bool:
    """Whether the first visible character begins a formula, in any width."""
    first = next((character for character in cell.lstrip('"') if not is_invisible(character)), "")
    begins = unicodedata.normalize("NFKC", first)[:1] in _FORMULA_MARKS
    return begins and not _NUMBER.fullmatch(cell.rstrip(";\t\r\n"))


def _sheet(book: Any, columns: Sequence[ExportColumn], strong: Any, title: str) -> Any:
    sheet = book.add_worksheet(title)
    sheet.freeze_panes(1, 0)
    for place, column in enumerate(columns):
        sheet.set_column(place, place, 26 if column.kind is CellType.TIME else 18)
        sheet.write_string(0, place, column.name, strong)
        if column.choices:
            rule = {"validate": "list", "source": list(column.choices)}
            sheet.data_validation(1, place, VALIDATED_ROWS, place, rule)
    return sheet


def _write(sheet: Any, line: int, place: int, kind: CellType, value: Any) -> None:
    if value is None or value == "":
        return
    if kind in (CellType.NUMBER, CellType.MONEY) and (number := _as_double(value)) is not None:
        sheet.write_number(line, place, number)
    else:
        text = str(value)
        if text.startswith("<r>") and text.endswith("</r>"):
            text = "'" + text  # XlsxWriter would write it as raw XML.
        sheet.write_string(line, place, text if len(text) <= CELL_MAX else text[: CELL_MAX - 1] + "…")


def _as_double(value: Any) -> float | None:
    """The number as a float, or None if a spreadsheet would round it."""
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        return None
    if not exact.is_finite() or len(exact.as_tuple().digits) > 15:
        return None
    return float(exact)


def _plain(value: Any, zone: ZoneInfo) -> Any:
    return value.astimezone(zone).isoformat() if isinstance(value, datetime) else value


def _cell(value: Any, zone: ZoneInfo) -> str:
    if value is None:
        return ""
    return escape_formula(str(_plain(value, zone))).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
