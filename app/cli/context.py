"""Shared by all commands: sessions, the partner of an option, signals, and one-line errors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.audit import trail
from app.db import NewerDatabase
from app.db.encryption import WrongKey, check_secrets
from app.partners import queries as partner_queries
from app.partners.models import Partner
from app.ui import web


def fail(message: str) -> NoReturn:
    """Print the message and exit with code 1."""
    raise click.ClickException(message)


@contextmanager
def database_errors(hint: str = "Did you run `flask init`?") -> Iterator[None]:
    """Report a missing, busy or newer database, or a wrong encryption key, in one line."""
    try:
        yield
    except DBAPIError as error:
        fail(f"Database error: {' '.join(str(error.orig).split())}. {hint}")
    except NewerDatabase as error:
        fail(f"{error} Install that version, or restore a backup.")
    except WrongKey as error:
        fail(str(error))


@contextmanager
def writing() -> Iterator[Session]:
    """A session to write with. The audit trail names the command line as the actor."""
    with database_errors(), trail.acting(trail.COMMAND_LINE), web.database().writing() as session:
        yield session


def find_partner(session: Session, name: str | None) -> Partner:
    """The partner with this name, or the only one if ``name`` is None."""
    if name is not None:
        return partner_queries.partner_by_name(session, name) or fail(f"There is no partner named {name}.")
    partners = partner_queries.all_partners(session)
    if not partners:
        fail("Add a partner first: `flask partners add`.")
    if len(partners) > 1:
        fail("There are several partners. Choose one with --partner.")
    return partners[0]


def check_encryption_keys() -> None:
    """Stop with one line if the stored secrets cannot be decrypted."""
    try:
        with web.database().reading() as session:
            check_secrets(session)
    except WrongKey as error:
        fail(str(error))
    except DBAPIError:
        pass  # no schema yet; the command says so when it needs it
    finally:
        web.database().engine.dispose()


def stop_event() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, set_stop)
    signal.signal(signal.SIGINT, set_stop)
    return stop


def counts_line(counts: dict[str, int]) -> str:
    """The counts as ``name=number`` pairs."""
    return " ".join(f"{name}={count}" for name, count in counts.items())
