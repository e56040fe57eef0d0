"""Message bodies for pages: indented and colored JSON, differences, and field names as labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import simplejson
from markupsafe import Markup, escape
from pygments.lexers.data import JsonLexer
from pygments.token import Token, _TokenType

from app.network.reader import Unreadable, read_json

PRETTY_MAX = 64 * 1024 * 1024
"""A size in bytes. Stored bodies are shown even if the limit for new ones is lower."""
COLORED_MAX = 48 * 1024
"""Bytes of JSON up to which it is colored, since each colored part is an element."""


def pretty(body: bytes | str) -> str:
    """Indented JSON with exact numbers; anything else as text."""
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    try:
        value = read_json(raw, max_bytes=PRETTY_MAX)
    except Unreadable:
        return raw.decode("utf-8", "replace")
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, indent=2)


def compact(value: object) -> str:
    """A JSON value on one line, with exact numbers."""
    return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False))


_COLORS: Sequence[tuple[_TokenType, str]] = (
    (Token.Name.Tag, "k"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "n"),
    (Token.Keyword, "n"),
)


def colored(body: bytes | str) -> Markup:
    """Indented JSON with colored keys and values. Everything in it is escaped."""
    text = pretty(body)
    if len(text) > COLORED_MAX or not text.startswith(("{", "[")):
        return escape(text)
    return Markup().join(_colored(kind, part) for kind, part in JsonLexer().get_tokens(text.strip()))


def _colored(kind: Any, part: str) -> Markup:
    for known, name in _COLORS:
        if kind in known:
            return Markup('<span class="{}">{}</span>').format(name, part)
    return escape(part)


def field_label(name: str) -> str:
    """The label of a field name: ``Total PO value`` for ``totalPOValue``; other names unchanged."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,60}", name):
        return name
    parts = re.findall(r"B2B|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    words = " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)
    return words[:1].upper() + words[1:]


COMPARED_LINES_MAX = 600
"""Lines. Longer texts would take too long to compare."""


def differences(old: str, new: str) -> list[tuple[str, str]] | None:
    """Each line with ``removed``, ``added`` or ``same``; empty if equal, None if a text is too long."""
    if old == new:
        return []
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > COMPARED_LINES_MAX or max(len(old), len(new)) > COLORED_MAX:
        return None
    lines = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [("same", line) for line in before[i1:i2]]
            continue
        lines += [("removed", line) for line in before[i1:i2]]
        lines += [("added", line) for line in after[j1:j2]]
    return lines


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping without these names."""
    return {name: value for name, value in values.items() if name not in names}


def is_pairs(value: object) -> bool:
    """Whether a value is a list of names and values, such as ``additionalInfos``."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(pair, dict) and pair.keys() <= {"name", "value"} for pair in value)
        and all(not isinstance(part, dict | list) for pair in value for part in pair.values())
    )


TREE_DEPTH_MAX = 6
"""Deeper values are printed as JSON."""


def tree_kind(value: object, depth: int) -> str:
    """How ``data_tree`` prints a JSON value: as fields, pairs, list, code, none or text."""
    if value is None or value == "":
        return "none"
    if is_pairs(value):
        return "pairs"
    if not isinstance(value, Mapping | list | tuple):
        return "text"
    if not value or depth >= TREE_DEPTH_MAX:
        return "code"
    return "fields" if isinstance(value, Mapping) else "list"


def text_of(body: bytes) -> str:
    """A body as text; bytes that are not UTF-8 become replacement characters."""
    return body.decode("utf-8", "replace")
