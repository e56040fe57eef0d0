"""Proof of life: a deliverer holds a locked file, which the kernel unlocks in the moment the process dies.

A lease's token names its holder, so whoever shares the folder with it (on SQLite everybody, on PostgreSQL the
deliverers of one machine) knows at once and for certain that it is dead. About all others only their
leases tell.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import tempfile
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from sqlalchemy.engine import make_url

from app.db import Database

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Standing(StrEnum):
    """What is known of the holder of a lease."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Presence:
    """This deliverer's own proof, and a look at those of others. To be closed."""

    def __init__(self, folder: Path) -> None:
        self.holder = ""
        self._folder = folder
        self._descriptor: int | None = None
        try:
            self._appear()
        except OSError as error:
            # Nothing but speed is lost: what a crash leaves then waits until its lease runs out.
            log.warning("no proof of life in %s: %s", folder, error)

    def token(self) -> str:
        """A new lease token of this holder; up to 32 characters."""
        return f"{self.holder}.{secrets.token_hex(5)}"

    def standing(self, token: str | None) -> Standing:
        """What is known of the holder of a lease with this token."""
        holder = holder_of(token)
        if not holder or holder.partition(".")[0] != self.holder.partition(".")[0]:
            return Standing.UNKNOWN
        if holder == self.holder:
            return Standing.ALIVE
        return _standing(self._folder / holder)

    def is_mine(self, token: str | None) -> bool:
        """Whether this very deliverer made the token."""
        return bool(self.holder) and holder_of(token) == self.holder

    def sweep(self, named: Collection[str | None]) -> None:
        """Remove the files of the dead whom no token of ``named`` mentions."""
        holders = {holder_of(token) for token in named}
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*.*"):
                if path.name not in holders and _standing(path) is Standing.DEAD:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Disappear."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                (self._folder / self.holder).unlink()
            os.close(descriptor)

    def _appear(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_uid != os.geteuid():
            raise PermissionError("it belongs to somebody else")
        name = f"{self._place()}.{secrets.token_hex(5)}"
        hidden, shown = self._folder / f"{name}~", self._folder / name
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Locked before it has its name: nobody ever sees it free while we live.
            hidden.rename(shown)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self.holder = descriptor, name

    def _place(self) -> str:
        """The word by which those who share this folder know each other."""
        kept = self._folder / "place"
        with tempfile.NamedTemporaryFile("w", dir=self._folder) as made:
            made.write(secrets.token_hex(4))
            made.flush()
            with contextlib.suppress(FileExistsError):
                os.link(made.name, kept)
        return kept.read_text().strip()


def holder_of(token: str | None) -> str:
    """Who made the token, empty if it does not say."""
    return (token or "").rpartition(".")[0]


def presence_for(database: Database) -> Presence:
    """A deliverer's presence: beside the SQLite file, else in this machine's folder for the database."""
    if not database.is_postgresql:
        return Presence(Path(f"{make_url(database.url).database}-deliverers"))
    boot = _BOOT_ID.read_text() if _BOOT_ID.exists() else ""
    # A copy of this machine has another boot id, and so shares nothing with it.
    digest = hashlib.sha256(f"{boot}\0{database.url}".encode()).hexdigest()[:16]
    return Presence(Path(tempfile.gettempdir()) / f"po-confirm-{os.geteuid()}-{digest}")


def _standing(path: Path) -> Standing:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return Standing.UNKNOWN
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return Standing.ALIVE
    else:
        return Standing.DEAD
    finally:
        os.close(descriptor)
