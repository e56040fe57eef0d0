"""Fixtures for tests of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db import Database
from tests.postgresql import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
        yield database
        database.engine.dispose()
        return
    server: Server = request.getfixturevalue("postgresql")
    server.execute("CREATE DATABASE unmade")
    database = Database(server.url("unmade"))
    yield database
    database.engine.dispose()
    server.execute("DROP DATABASE unmade WITH (FORCE)")
