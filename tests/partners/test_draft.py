"""What was entered in the form of a partner is kept encrypted until it is saved."""

from __future__ import annotations

import time

import pytest

from app.partners.draft import decrypt, encrypt


def test_draft_expires_after_an_hour_and_needs_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted_at = int(time.time())
    monkeypatch.setattr("time.time", lambda: encrypted_at)
    encrypted = encrypt("key", {"bearer_token": "secret"})
    monkeypatch.setattr("time.time", lambda: encrypted_at + 3600)
    assert decrypt("key", encrypted) == {"bearer_token": "secret"}
    monkeypatch.setattr("time.time", lambda: encrypted_at + 3601)
    assert decrypt("key", encrypted) == {}
    monkeypatch.setattr("time.time", lambda: encrypted_at)
    assert "secret" not in encrypted
    assert decrypt("key", encrypted) == {"bearer_token": "secret"}
    assert decrypt("another key", encrypted) == {}
    for nonsense in ("", "nonsense", "é" * 20, encrypted[:-4] + "AAAA"):
        assert decrypt("key", nonsense) == {}
    assert encrypt("key", {}) == ""
