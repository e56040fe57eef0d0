"""The words of the app: phrases that are not standard English for software stay out of code and pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PHRASES = {
    r"\bin vain\b": "unsuccessful",
    r"\bmended\b": "fixed",
    r"\banew\b|\bonce more\b": "again",
    r"\bby itself\b|\bby themselves\b|\bby hand\b": "automatically, manually",
    r"\bus or them\b|\bother side of the wire\b|\bbuyer's side\b": "partner",
    r"\bwhat (became|came) of\b|\bcame of it\b": "result",
    r"\bhand(ed|s)? (it |them )?over\b": "assign",
    r"\bstands? (here|in|on|under|beside|twice)\b": "is",
    r"\b(in|of) a circle\b": "deadlock",
    r"\bsomebody\b|\bwe said\b|\bdeaf to\b|\bfits? nothing\b|\blong work\b|\bturned down\b": "a plain word",
    r"\brooms?\b": "package, capacity",
}
# Values that seals cover and that the database stores never change.
ALLOWED = {
    "app/audit/models.py": ("handed over",),
    "app/audit/presenters.py": ("what came of it", "probes in vain"),
}
FOLDERS = ("app", "templates", "static/css", "static/js", "tests")
SUFFIXES = {".py", ".html", ".txt", ".js", ".css"}
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and "migrations" not in path.parts and path != Path(__file__)
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("phrase", PHRASES)
def test_banned_phrase_is_in_no_file(phrase: str) -> None:
    files = []
    for path in FILES:
        text = path.read_text()
        for allowed in ALLOWED.get(name_of(path), ()):
            text = text.replace(f'"{allowed}"', "")
        files += [name_of(path)] if re.search(phrase, text, re.IGNORECASE) else []
    assert not files, f"write {PHRASES[phrase]}"
