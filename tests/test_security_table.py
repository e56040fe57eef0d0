"""``app/SECURITY.md`` names the code and the tests that meet each requirement."""

from __future__ import annotations

import re

from app.config import ROOT


def test_security_table_names_only_existing_files() -> None:
    names = set(re.findall(r"`([\w./]+/[\w./]*\w|\w+\.\w+)`", (ROOT / "app" / "SECURITY.md").read_text()))
    files = {name for name in names if re.search(r"\.(py|md|html|js|txt|toml)$", name)}
    assert len(files) > 50
    assert not [name for name in files if not ((ROOT / name).exists() or (ROOT / "app" / name).exists())]
