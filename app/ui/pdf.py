"""PDF pages: text that the font can show, wrapped lines, and tables that repeat their header on each page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache

import fontpkg_noto_sans
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import TextMode

from app.network.text import JOINERS, is_invisible, one_line

FONT = fontpkg_noto_sans.ROOT / "files" / "NotoSans[wdth,wght].ttf"
"""Latin, Devanagari, Greek and Cyrillic; OFL. Bold is its outline drawn thicker: the file has one weight."""
MARGIN = 15
"""Millimeters; so are all positions and widths here. Font sizes are points."""
WIDTH = 210 - 2 * MARGIN
BOTTOM = 297 - 18
AMOUNT_WIDTH = 36
TITLE_WIDTH = 36
LINE_HEIGHT = 0.47
"""Millimeters per point of font size."""
CELL_LINES_MAX = 45
"""Maximum number of lines in a cell, so that a row fits on a page. No text of a real order is longer."""
PANEL_LINES_MAX = 50
TEXT_MAX = 500
"""Maximum length of one text, in characters; the rest is cut."""
INK, MUTED, ACCENT, WARNING = (22, 32, 44), (92, 103, 117), (11, 107, 88), (150, 82, 0)
LINES, SHADE = (205, 211, 219), (243, 245, 248)
_TOTAL_PAGES = "\N{NO-BREAK SPACE}" * 3
"""A placeholder for the number of pages; ``printable`` removes it from all other text."""
_MISSING = "?"
_SHAPED = re.compile("[\u0900-\u097f\u1cd0-\u1cff\ua8e0-\ua8ff\u0300-\u036f]")
"""Characters that need their glyphs joined or reordered; other text is drawn faster without that."""

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Text:
    """A text with its style. ``color`` is a color of this module, ``size`` in points."""

    text: str
    size: float = 8.5
    bold: bool = False
    color: Color = INK


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table; ``width`` in millimeters."""

    label: str
    width: float
    align: str = "L"


@cache
def _characters() -> frozenset[int]:
    with TTFont(FONT, lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=4096)
def printable(text: str, limit: int = TEXT_MAX) -> str:
    """A text on one line, in characters of the font; others become ``?``, invisible ones are dropped."""
    line = unicodedata.normalize("NFC", one_line(text[: limit * 2])).replace("\N{NO-BREAK SPACE}", " ")
    shown = "".join(map(_shown, line))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


@lru_cache(maxsize=1024)
def _shown(character: str) -> str:
    if character == " " or character in JOINERS:
        return character
    if is_invisible(character):
        return ""
    return character if ord(character) in _characters() else _MISSING


class Document(FPDF):
    """A4 pages with a footer: ``note`` on the left, the page number on the right."""

    def __init__(self, *, title: str, author: str, note: str, created_at: datetime) -> None:
        super().__init__()
        self._note = note
        self._columns: Sequence[TableColumn] = ()
        self._widths: dict[str, float] = {}
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(False)
        self.alias_nb_pages(_TOTAL_PAGES)
        self.add_font("sans", "", FONT)
        self.set_font("sans", "", 8.5)
        self.c_margin = 0
        self.set_title(printable(title))
        self.set_author(printable(author))
        self.set_creator("PO Confirm")
        self.set_lang("en-IN")
        self.set_creation_date(created_at)
        self.add_page()

    def footer(self) -> None:
        """Draw the note and the page number."""
        self.block([Text(self._note, 7, color=MUTED)], MARGIN, 285, 140)
        self.set_xy(MARGIN + 140, 285)
        self.cell(WIDTH - 140, 7 * LINE_HEIGHT, f"Page {self.page_no()} of {_TOTAL_PAGES}", align="R")

    def rule(self, gap: float = 3) -> None:
        """Draw a line across the page."""
        self.set_draw_color(*LINES)
        self.set_line_width(0.2)
        self.line(MARGIN, self.get_y() + gap, MARGIN + WIDTH, self.get_y() + gap)
        self.set_y(self.get_y() + 2 * gap)

    def block(self, texts: Sequence[Text], x: float, y: float, width: float, align: str = "L") -> float:
        """Draw texts one below the other, wrapped to the width; returns the end of the block."""
        for text in texts:
            for line in self.wrap(text, width):
                y = self.draw(line, x, y, width, align)
        return y

    def paragraph(self, *texts: Text, gap: float = 1, indent: float = 0) -> None:
        """Draw texts over the whole width, on a new page if they do not fit."""
        width = WIDTH - indent
        lines = [line for text in texts for line in self.wrap(text, width)]
        for line in lines:
            self.make_space(line.size * LINE_HEIGHT)
            self.set_y(self.draw(line, MARGIN + indent, self.get_y(), width))
        self.set_y(self.get_y() + gap)

    def section(self, title: Text, texts: Sequence[Text]) -> None:
        """Draw a title with texts beside it, which may continue on the next page."""
        self.make_space(len(self.wrap(title, TITLE_WIDTH - 2)) * title.size * LINE_HEIGHT)
        page, end = self.page_no(), self.block([title], MARGIN, self.get_y(), TITLE_WIDTH - 2)
        self.paragraph(*texts, gap=0, indent=TITLE_WIDTH)
        if self.page_no() == page:
            self.set_y(max(end, self.get_y()))

    def make_space(self, height: float) -> None:
        """Go to a new page if this height does not fit; an open table repeats its header there."""
        if self.get_y() + height <= BOTTOM:
            return
        self.add_page()
        self.set_y(MARGIN)
        if self._columns:
            self._draw_head()

    def panel(self, texts: Sequence[Text]) -> None:
        """Draw texts in a shaded box, which grows with them and is not split over two pages."""
        lines = [line for text in texts for line in self.wrap(text, WIDTH - 8)][:PANEL_LINES_MAX]
        height = sum(line.size * LINE_HEIGHT for line in lines) + 6
        self.make_space(height)
        top = self.get_y()
        self.set_fill_color(*SHADE)
        self.rect(MARGIN, top, WIDTH, height, style="F")
        self.block(lines, MARGIN + 4, top + 3, WIDTH - 8)
        self.set_y(top + height + 4)

    def amounts(self, rows: Sequence[tuple[str, Sequence[str]]], heads: Sequence[str]) -> None:
        """Draw rows of a label and amounts at the right edge; the last row is the total."""
        self.make_space(8 + 6 * len(rows))
        y = self.get_y() + 2
        for label, values in [("", heads), *rows] if heads else rows:
            is_head, is_last = not label, label == rows[-1][0]
            text = Text("", 7.5 if is_head else 9, bold=is_last, color=MUTED if is_head else INK)
            x = MARGIN + WIDTH - AMOUNT_WIDTH * len(values)
            end = self.block([replace(text, text=label)], MARGIN, y, x - MARGIN - 2, "R")
            for column, value in enumerate(values):
                self.draw(replace(text, text=value), x + column * AMOUNT_WIDTH, y, AMOUNT_WIDTH - 1, "R")
            y = max(end, y + 4.2) + 0.6
        self.set_y(y + 3)

    # --- Tables

    def open_table(self, columns: Sequence[TableColumn]) -> None:
        """Begin a table with its header."""
        self.make_space(20)
        self._columns = columns
        self._draw_head()

    def row(self, cells: Sequence[Sequence[Text]]) -> None:
        """Draw a row: for each column the texts of its cell. It is never split over two pages."""
        columns = self._columns
        wrapped = [
            [line for text in cell for line in self.wrap(text, column.width - 2)][:CELL_LINES_MAX]
            for cell, column in zip(cells, columns, strict=True)
        ]
        height = max(sum(line.size * LINE_HEIGHT for line in cell) for cell in wrapped) + 2.4
        self.make_space(height)
        top, x = self.get_y(), float(MARGIN)
        for cell, column in zip(wrapped, columns, strict=True):
            y = top + 1.2
            for line in cell:
                y = self.draw(line, x + 1, y, column.width - 2, column.align)
            x += column.width
        self.set_y(top + height)
        self.set_draw_color(*LINES)
        self.set_line_width(0.1)
        self.line(MARGIN, top + height, MARGIN + WIDTH, top + height)

    def close_table(self) -> None:
        """End the table."""
        self._columns = ()

    def _draw_head(self) -> None:
        top, x = self.get_y(), float(MARGIN)
        self.set_fill_color(*SHADE)
        self.rect(MARGIN, top, WIDTH, 6, style="F")
        for column in self._columns:
            self.draw(
                Text(column.label, 7.5, bold=True, color=MUTED),
                x + 1,
                top + 1.2,
                column.width - 2,
                column.align,
            )
            x += column.width
        self.set_y(top + 6)

    # --- Text

    def wrap(self, text: Text, width: float) -> list[Text]:
        """The text as lines that fit into the width, broken at spaces, and within a word that is too long.

        ``multi_cell`` of fpdf2 gives the same lines, but takes fifteen times as long.
        """
        self._style(text)
        space, lines, used = self._width(" "), [""], 0.0
        for word in printable(text.text).split(" "):
            for part in self._parts(word, width):
                needed = self._width(part)
                if not lines[-1]:
                    lines[-1], used = part, needed
                elif used + space + needed <= width:
                    lines[-1], used = f"{lines[-1]} {part}", used + space + needed
                else:
                    lines.append(part)
                    used = needed
        return [replace(text, text=line) for line in lines if line]

    def draw(self, text: Text, x: float, y: float, width: float, align: str = "L") -> float:
        """Draw one line of printable text; returns where the next one begins."""
        height = text.size * LINE_HEIGHT
        self._style(text)
        if text.text and text.bold:
            outline = {"line_width": text.size * 0.007, "draw_color": text.color}
            with self.local_context(text_mode=TextMode.FILL_STROKE, **outline):
                self._draw_text(text.text, x, y, width, height, align)
        elif text.text:
            self._draw_text(text.text, x, y, width, height, align)
        return y + height

    def _draw_text(self, shown: str, x: float, y: float, width: float, height: float, align: str) -> None:
        if align == "R":
            x += width - self._width(shown)
        if _SHAPED.search(shown):
            self.set_text_shaping(True)
            self.set_xy(x, y)
            self.cell(width, height, shown)
            self.set_text_shaping(False)
        else:
            self.text(x, y + height / 2 + 0.3 * self.font_size, shown)

    def _style(self, text: Text) -> None:
        if self.font_size_pt != text.size:
            self.set_font_size(text.size)
        self.set_text_color(*text.color)

    def _width(self, shown: str) -> float:
        """The width of a text in the current size; the words of an order repeat, so it is calculated once."""
        if shown not in self._widths:
            self.set_text_shaping(bool(_SHAPED.search(shown)))
            self._widths[shown] = self.get_string_width(shown) / self.font_size_pt
            self.set_text_shaping(False)
        return self._widths[shown] * self.font_size_pt

    def _parts(self, word: str, width: float) -> Iterator[str]:
        """The word, in parts that fit into the width."""
        if self._width(word) <= width:
            yield word
            return
        part = ""
        for character in word:
            if part and self._width(part + character) > width:
                yield part
                part = ""
            part += character
        yield part
