"""Secrets at rest: encrypted columns, their conversion and rotation, and private files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app import clock
from app.accounts import form_storage
from app.accounts.models import KeptForm
from app.db import Database, encryption
from app.partners.models import InboundSecret, Partner
from tests.conftest import ENCRYPTION_KEY

SECRETS = (
    "header-secret-1234",
    "bearer-secret-1234",
    "client-secret-1234",
    "c2VjcmV0LXNpZ25pbmcta2V5LTEyMzQ",
)


@pytest.fixture
def other_key() -> Iterator[str]:
    """Another key; the key of the tests is configured again afterwards."""
    yield Fernet.generate_key().decode()
    encryption.configure([ENCRYPTION_KEY])


def add_partner(session: Session) -> None:
    header, bearer, client, signing = SECRETS
    session.add(
        Partner(
            name="network",
            base_url="https://b2b.example",
            headers=[["X-Api-Key", header]],
            bearer_token=bearer,
            oauth={"token_url": "https://b2b.example", "client_id": "us", "client_secret": client},
            signing_secrets=[
                {"id": "1", "secret": f"whsec_{signing}", "created_at": "", "valid_until": None}
            ],
            created_at=clock.now(),
        )
    )


def bytes_of(database: Database) -> bytes:
    """What the database stores: its files on SQLite, its rows as text on PostgreSQL."""
    if database.is_postgresql:
        with database.engine.connect() as connection:
            rows = [*connection.execute(text("SELECT partner::text FROM partner")).scalars()]
            rows += connection.execute(text("SELECT inbound_secret::text FROM inbound_secret")).scalars()
        return "\n".join(rows).encode()
    path = Path(str(make_url(database.url).database))
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*") if file.is_file())


def assert_no_secret_in(database: Database) -> None:
    stored = bytes_of(database)
    assert b"network" in stored
    assert not [secret for secret in SECRETS if secret.encode() in stored]


def test_new_secrets_are_stored_encrypted(app: Flask, database: Database) -> None:
    with database.writing() as session:
        add_partner(session)
        session.commit()
    assert_no_secret_in(database)
    with database.reading() as session:
        partner = session.query(Partner).one()
        assert partner.headers == [["X-Api-Key", SECRETS[0]]]
        assert partner.bearer_token == SECRETS[1]
        assert partner.oauth is not None and partner.oauth["client_secret"] == SECRETS[2]


def test_upgrade_encrypts_existing_secrets(empty_database: Database) -> None:
    database = empty_database
    database.upgrade("0016")
    header, bearer, client, signing = SECRETS
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO partner (name, base_url, headers, allow_addresses, deadline_seconds,"
                " retry_schedule, success_codes, concurrency, accepts_return, paused_reason,"
                " credential_failures, created_at, bearer_token, oauth, signing_secrets)"
                " VALUES ('network', 'https://b2b.example', :headers, '[]', 5, '[]', '[0]', 4, false, '', 0,"
                " '2026-01-01', :bearer, :oauth, :signing)"
            ),
            {
                "headers": f'[["X-Api-Key", "{header}"]]',
                "bearer": bearer,
                "oauth": f'{{"client_secret": "{client}"}}',
                "signing": f'[{{"id": "1", "secret": "whsec_{signing}"}}]',
            },
        )
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO partner (name, base_url, headers, allow_addresses, deadline_seconds,"
                " retry_schedule, success_codes, concurrency, accepts_return, paused_reason,"
                " credential_failures, created_at, oauth) VALUES ('other', 'https://other.example', '[]',"
                " '[]', 5, '[]', '[0]', 4, false, '', 0, '2026-01-01', 'null')"
            )
        )
    database.upgrade()
    assert_no_secret_in(database)
    with database.reading() as session:
        other, partner = session.scalars(select(Partner).order_by(Partner.name.desc())).all()
        assert other.oauth is None and other.headers == []
        assert partner.headers == [["X-Api-Key", header]]
        assert partner.oauth == {"client_secret": client}
        assert partner.signing_secrets[0]["secret"] == f"whsec_{signing}"


def test_rotation_makes_the_old_key_unnecessary(app: Flask, database: Database, other_key: str) -> None:
    with database.writing() as session:
        add_partner(session)
        session.flush()
        session.add(
            InboundSecret(
                partner_id=session.query(Partner.id).scalar(), secret="whsec_inbound", created_at=clock.now()
            )
        )
        form_storage.keep(session, "/partners/new", [("bearer_token", SECRETS[1])], address="")
        session.commit()
    encryption.configure([other_key, *app.extensions["settings"].encryption_keys])
    assert "rotated=3" in app.test_cli_runner().invoke(args=["secrets", "rotate"]).output
    encryption.configure([other_key])
    with database.reading() as session:
        assert session.query(Partner).one().bearer_token == SECRETS[1]
        assert session.query(InboundSecret).one().secret == "whsec_inbound"
        assert session.query(KeptForm).one().fields == [["bearer_token", SECRETS[1]]]


@pytest.mark.parametrize(
    "command",
    [
        ["deliver", "--once"],
        ["work", "--once"],
        ["secrets", "rotate"],
        ["partners", "pause", "network", "--reason", "x"],
    ],
)
def test_wrong_key_is_one_line(app: Flask, database: Database, other_key: str, command: list[str]) -> None:
    with database.writing() as session:
        add_partner(session)
        session.commit()
    encryption.configure([other_key])
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 1
    assert result.output == "Error: A stored secret cannot be decrypted. Check PO_ENCRYPTION_KEYS.\n"


def test_sqlite_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "instance" / "po-confirm.sqlite"
    path.parent.mkdir()
    path.touch(mode=0o644)
    path.chmod(0o644)
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.writing() as session:
        session.execute(text("PRAGMA user_version = 0"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    database.engine.dispose()
    assert set(modes) >= {"po-confirm.sqlite", "po-confirm.sqlite-wal", "po-confirm.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_instance_folder_is_private(settings: Any, app: Flask) -> None:
    assert stat.S_IMODE(settings.instance.stat().st_mode) == 0o700
