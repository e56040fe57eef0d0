"""The hazards table in `app/delivery/README.md` names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
README = (TESTS.parent / "app/delivery/README.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", README)


def test_every_hazard_names_a_test() -> None:
    tables = README[README.index("## Hazards") :]
    rows = [
        line
        for line in tables.splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| hazard"))
    ]
    assert len(rows) > 50
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
