"""Fast password hashing for tests that are not about it."""

from __future__ import annotations

import pytest

from app.accounts import passwords
from tests import people


@pytest.fixture
def fast_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash and verify passwords in a millisecond."""
    monkeypatch.setattr(passwords, "_hasher", people.fast_hasher)
    monkeypatch.setattr(passwords, "UNKNOWN_USER_HASH", people.fast_hasher.hash("a discarded password"))
