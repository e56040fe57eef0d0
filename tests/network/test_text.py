"""Text as people see it: visibility, single lines, comparison and dates."""

from __future__ import annotations

from datetime import date

import pytest

from app.network.text import has_visible, one_line, pluralize, read_date, search_key


@pytest.mark.parametrize(
    "text", ["", " ", "\u00a0", "\u200b\u2060", "\u3164", "\u2800", "\ufeff", "\t\r\n\x00", "\u034f"]
)
def test_has_visible_of_blank_text_is_false(text: str) -> None:
    assert not has_visible(text)
    assert one_line(text) == ""


@pytest.mark.parametrize("text", ["a", " . ", "ज़", "\u200b0"])
def test_has_visible_of_text_is_true(text: str) -> None:
    assert has_visible(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Short by\t100\t200 pcs", "Short by 100 200 pcs"),
        ("one\r\n\r\n two", "one two"),
        ("a\x00\x01\x7fb", "a b"),
        ("\ta\n", "a"),
        ("two  spaces", "two  spaces"),
    ],
)
def test_one_line_control_characters_become_one_space(text: str, expected: str) -> None:
    assert one_line(text) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("ज़िला spare", "ज\u093cिला SPARE"),
        ("Gear\u00a0box", "gear box"),
        ("Gear\u200bbox", "gearbox"),
        ("Straße", "STRASSE"),
        ("ﬁlter", "Filter"),
        ("a \t b", "a b"),
        ("\uff21\uff22", "ab"),
    ],
)
def test_search_key_equal_looking_text_is_equal(left: str, right: str) -> None:
    assert search_key(left) == search_key(right)
    assert search_key(search_key(left)) == search_key(left)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-31", date(2026, 12, 31)),
        ("2026-12-31T10:00:00+05:30", date(2026, 12, 31)),
        ("31/12/2026", date(2026, 12, 31)),
        ("02/01/2027", date(2027, 1, 2)),
        ("2-1-2027", date(2027, 1, 2)),
        ("15 Dec 2026", date(2026, 12, 15)),
        ("15-December-2026", date(2026, 12, 15)),
        ("soon", None),
        ("", None),
        ("31/13/2026", None),
        ("0001-01-01", None),
        ("9999-12-31", None),
    ],
)
def test_read_date_of_known_formats_is_the_date_and_of_others_none(text: str, expected: date | None) -> None:
    assert read_date(text) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 orders need"), (1, "1 order needs"), (2, "2 orders need"), (100_000, "1,00,000 orders need")],
)
def test_pluralize_uses_the_singular_for_one_only(count: int, expected: str) -> None:
    assert pluralize(count, "order needs", "orders need") == expected
