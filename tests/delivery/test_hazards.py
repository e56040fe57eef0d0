"""The table of hazards names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (HERE / "HAZARDS.md").read_text(encoding="utf-8"))


def test_the_table_names_a_test_in_every_row() -> None:
    rows = [
        line
        for line in (HERE / "HAZARDS.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| hazard"))
    ]
    assert len(rows) > 50
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    # A name that several rooms have means the one of this room.
    (path,) = list(HERE.glob(file)) or list(HERE.parent.rglob(file))
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert name in functions
