"""Functions that build HTML without a template escape all input."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from markupsafe import Markup

from app.inbound.api_description import marked, phrase
from app.ui.bodies import COLORED_MAX, colored

SCRIPT = "<script>alert('1 & 2')</script>"


def tags_and_text(html: Markup) -> tuple[set[str], str]:
    """The tags and the visible text of HTML, as a browser parses it."""
    element = BeautifulSoup(f"<div>{html}</div>", "html.parser").div
    assert element
    return {tag.name for tag in element.find_all(True)}, element.get_text()


@pytest.mark.parametrize("around", ["{}", "`{}`", "**{}**", "a `b` {} **c**", "`{}", "**`{}`**"])
@pytest.mark.parametrize(("render", "more"), [(phrase, set()), (marked, {"p"})])
def test_script_in_a_sentence_is_escaped(
    render: Callable[[str], Markup], more: set[str], around: str
) -> None:
    html = render(around.format(SCRIPT))
    tags, words = tags_and_text(html)
    assert tags <= {"code", "strong"} | more
    assert "<script" not in html
    assert SCRIPT in words


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({SCRIPT: "a key"}),
        json.dumps({"value": SCRIPT, "number": 1, "nothing": None}).encode(),
        json.dumps([SCRIPT]),
        "{" + SCRIPT,  # not JSON, although it begins like JSON
        '{"a": ' + SCRIPT + "}",
        SCRIPT,
        json.dumps(SCRIPT),
        json.dumps({"value": SCRIPT, "long": "x" * COLORED_MAX}),
    ],
    ids=["key", "value", "in a list", "broken", "in the place of a value", "text", "a string", "too long"],
)
def test_script_in_a_body_is_escaped(body: bytes | str) -> None:
    html = colored(body)
    tags, words = tags_and_text(html)
    assert tags <= {"span"}
    assert "<script" not in html
    assert SCRIPT in words


def test_quotation_mark_in_a_body_is_escaped_in_attributes() -> None:
    html = colored(json.dumps({'" onload="x': '" onload="x'}))
    spans = BeautifulSoup(html, "html.parser").find_all("span")
    assert spans
    assert all(set(span.attrs) == {"class"} for span in spans)
