"""Settings: defaults, file, environment, and refusals of one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import create_app
from app.config import Settings, SettingsError


def test_defaults_are_a_sqlite_file_and_a_secret_made_once(tmp_path: Path) -> None:
    first = Settings.load({}, instance=tmp_path)
    assert first.database_url == f"sqlite:///{tmp_path / 'po-confirm.sqlite'}"
    assert len(first.secret_key) >= 32
    assert Settings.load({}, instance=tmp_path).secret_key == first.secret_key


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("respond_within_hours = 12\nundo_seconds = 3\n")
    settings = Settings.load({"PO_UNDO_SECONDS": "7"}, instance=tmp_path)
    assert (settings.respond_within_hours, settings.undo_seconds) == (12, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PO_RESPOND_WITHIN_HOUR", "24"),
        ("PO_RESPOND_WITHIN_HOURS", "soon"),
        ("PO_RESPOND_WITHIN_HOURS", "-1"),
        ("PO_SERVE_DELIVERS", "perhaps"),
        ("PO_MAX_BODY_BYTES", "0"),
        ("PO_UNDO_SECONDS", "nan"),
        ("PO_DATABASE_URL", "mysql://x"),
        ("PO_DATABASE_URL", "nonsense"),
        ("PO_TIME_ZONE", "Mars/Olympus"),
        ("PO_SIMULATOR_URL", "javascript:alert(1)"),
    ],
)
def test_an_unknown_or_nonsensical_setting_stops_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        Settings.load({name: value}, instance=tmp_path)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=name):
        create_app()


def test_a_broken_file_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("respond_within_hours = ")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        Settings.load({}, instance=tmp_path)
    (tmp_path / "config.toml").write_text("colour = 'blue'")
    with pytest.raises(SettingsError, match="colour"):
        Settings.load({}, instance=tmp_path)
