"""Settings: defaults, file, environment, and one-line errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app import create_app
from app.config import Settings, SettingsError


def test_defaults_are_a_sqlite_file_and_a_stored_secret(tmp_path: Path) -> None:
    first = Settings.load(instance=tmp_path)
    assert first.database_url == f"sqlite:///{tmp_path / 'po-confirm.sqlite'}"
    assert len(first.secret_key) >= 32
    assert Settings.load(instance=tmp_path).secret_key == first.secret_key


def test_environment_wins_over_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("respond_within_hours = 12\nundo_seconds = 3\nsenders = 2\n")
    monkeypatch.setenv("PO_UNDO_SECONDS", "7")
    monkeypatch.setenv("PO_SENDERS", "3")
    settings = Settings.load(instance=tmp_path, senders=4)
    assert (settings.respond_within_hours, settings.undo_seconds, settings.senders) == (12, 7, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PO_RESPOND_WITHIN_HOUR", "24"),
        ("PO_RESPOND_WITHIN_HOURS", "soon"),
        ("PO_RESPOND_WITHIN_HOURS", "-1"),
        ("PO_SERVE_DELIVERS", "perhaps"),
        ("PO_MAX_BODY_BYTES", "0"),
        ("PO_UNDO_SECONDS", "nan"),
        ("PO_KEEP_AUDIT_DAYS", "inf"),
        ("PO_KEEP_AUDIT_DAYS", "1000000"),
        ("PO_DATABASE_URL", "mysql://x"),
        ("PO_DATABASE_URL", "nonsense"),
        ("PO_DATABASE_URL", "sqlite:///"),
        ("PO_DATABASE_URL", "sqlite:///:memory:"),
        ("PO_PUBLIC_URL", "http://["),
        ("PO_PUBLIC_URL", "http://po.example:99999"),
        ("PO_TIME_ZONE", "Mars/Olympus"),
        ("PO_SIMULATOR_URL", "javascript:alert(1)"),
        ("PO_TRUSTED_HOSTS", "https://po.example"),
        ("PO_TRUSTED_HOSTS", "po.example:8000"),
        ("PO_TRUSTED_HOSTS", "*.example"),
    ],
)
def test_unknown_or_invalid_variable_stops_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as error:
        Settings.load(instance=tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit, match=name):
        create_app()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"smtp_url": "smtp://me:hunter2@h"}, "mail_from"),
        ({"smtp_url": "http://me:hunter2@h", "mail_from": "a@b.c", "mail_to": "a@b.c"}, "smtps://"),
        ({"smtp_url": "smtp://me:hunter2@h:99999", "mail_from": "a@b.c", "mail_to": "a@b.c"}, "mail server"),
        ({"database_url": "mysql://me:hunter2@h/po"}, "postgresql+psycopg://"),
        ({"database_url": "postgresql+psycopg://me:x@hunter2@h/po"}, "%40"),
        ({"database_url": "postgresql+psycopg://me:x@h:hunter2/po"}, "must be a database URL"),
        ({"mail_from": "nobody"}, "email address"),
        ({"mail_from": "a@b.c\r\nBcc: x@y.z"}, "email address"),
        ({"mail_from": "a@b.c, d@e.f"}, "email address"),
        ({"mail_to": "a@b.c, nobody"}, "email address"),
        ({"metrics_allow": "10.0.0.0/8, nowhere"}, "IPv4 or IPv6 network"),
        ({"public_url": "po.example"}, "https://po.example"),
        ({"alert_deadlines": "often"}, "daily"),
    ],
)
def test_error_is_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"PO_{name.upper()}", value)
    with pytest.raises(SettingsError, match=re.escape(message)) as error:
        Settings.load(instance=tmp_path)
    assert "hunter2" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["mail_to = 'a@b.c, d@e.f ,'", "mail_to = ['a@b.c', 'd@e.f']"])
def test_setting_with_several_values_is_a_text_or_a_list(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(f"{line}\nmail_from = ' a@b.c '\n")
    settings = Settings.load(instance=tmp_path)
    assert settings.mail_to == ("a@b.c", "d@e.f")
    assert settings.mail_from == "a@b.c"


def test_trusted_hosts_are_names_and_addresses(tmp_path: Path) -> None:
    settings = Settings.load(instance=tmp_path, trusted_hosts="PO.example, 10.0.0.1, ::1, po_web")
    assert settings.trusted_hosts == ("po.example", "10.0.0.1", "::1", "po_web")


@pytest.mark.parametrize(
    "values", [{}, {"secret_key": "x" * 16, "encryption_keys": Fernet.generate_key().decode()}]
)
def test_instance_that_is_not_a_folder_stops_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PO_INSTANCE", str(tmp_path / "file" / "instance"))
    for name, value in values.items():
        monkeypatch.setenv(f"PO_{name.upper()}", value)
    with pytest.raises(SystemExit, match=r"PO_INSTANCE=.*: Not a directory$"):
        create_app()


def test_invalid_file_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("respond_within_hours = ")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        Settings.load(instance=tmp_path)
    (tmp_path / "config.toml").write_text("colour = 'blue'")
    with pytest.raises(SettingsError, match=r"colour in config\.toml is not a setting"):
        Settings.load(instance=tmp_path)
