"""A temporary PostgreSQL server for the tests, from the binaries on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.serving import free_port


def binaries() -> Path:
    """The folder of the server's programs. Errors: RuntimeError if PostgreSQL is not installed."""
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve().parent
    for base in ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"):
        candidates = sorted(Path(base).glob("*/bin/postgres")) + sorted(Path(base).glob("bin/postgres"))
        if candidates:
            return candidates[-1].parent
    raise RuntimeError("no PostgreSQL server on this machine: run `sh tests/system-packages.sh postgresql`")


def memory_folder(at_least: int = 4 * 2**30) -> str | None:
    """A folder in memory with at least this many free bytes, None if there is none."""
    memory = Path("/dev/shm")
    if (
        memory.is_dir()
        and os.access(memory, os.W_OK | os.X_OK)
        and shutil.disk_usage(memory).free >= at_least
    ):
        return str(memory)
    return None


class Server:
    """A running server on a free port of the loopback.

    A ``durable`` server keeps committed data after a crash.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._commits = "on" if durable else "off"
        self.folder = Path(tempfile.mkdtemp(prefix="po-confirm-pg-", dir=memory_folder()))
        self.port = free_port()
        self._owner: psycopg.Connection | None = None
        self._bin = binaries()
        if os.geteuid() == 0:
            # The server refuses to run as root.
            shutil.chown(self.folder, "nobody")
        self._run(
            "initdb",
            "-D",
            self.data,
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c synchronous_commit={self._commits} -c full_page_writes=off -c max_connections=200"
        )
        self._run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it as ``pg_ctl -m mode`` does."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "stop")

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The app's URL of one of its databases."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def copy(self, template: str, name: str) -> None:
        """Copy a database.

        Copying files takes half the time of logging every page; servers before version 15 always do it.
        """
        how = "STRATEGY FILE_COPY" if self._version() >= 15 else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {how}")

    def _version(self) -> int:
        return int((Path(self.data) / "PG_VERSION").read_text())

    def execute(self, statement: str) -> None:
        """Run one statement as the owner, outside of any transaction."""
        # Starting a connection takes as long as most statements, so one stays open.
        if self._owner and not self._owner.closed:
            try:
                self._owner.execute("SELECT 1")
            except psycopg.OperationalError:
                self._owner.close()
        if not self._owner or self._owner.closed:
            self._owner = psycopg.connect(
                host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
            )
        self._owner.execute(statement.encode())

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._bin / program), *words]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
