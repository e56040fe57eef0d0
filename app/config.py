"""Settings: defaults, ``instance/config.toml``, ``PO_*`` of the environment. Typed; fails loudly."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "PO_"
SECRET = frozenset({"smtp_url", "secret_key"})
"""Settings that no error repeats."""


class SettingsError(ValueError):
    """A setting that is unknown or makes no sense; its text is one line for the operator."""


class Settings(BaseModel):
    """Everything an operator may set. Field ``x`` is ``x`` in the file and ``PO_X`` in the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance: Path = ROOT / "instance"
    database_url: str = ""
    secret_key: str = ""
    respond_within_hours: float = Field(24, gt=0, le=24 * 365)
    serve_delivers: bool = True
    serve_works: bool = True
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    undo_seconds: float = Field(0, ge=0, le=600)
    time_zone: str = "Asia/Kolkata"
    web_processes: int = Field(2, ge=1, le=64)
    web_threads: int = Field(4, ge=1, le=64)
    senders: int = Field(8, ge=1, le=128)
    secure_cookies: bool = False
    trusted_proxies: int = Field(0, ge=0, le=8)
    # Where the partner is the simulator of the demo, its pages show what arrived; `flask demo` sets it.
    simulator_url: str = ""
    public_url: str = ""
    mail_from: str = ""
    mail_to: str = ""
    # After those that it needs, since each is checked in this order.
    smtp_url: str = ""
    alert_deadlines: Literal["off", "hourly", "daily"] = "daily"
    keep_messages_days: float | None = Field(None, ge=1)
    keep_inbound_days: float | None = Field(None, ge=1)
    keep_audit_days: float | None = Field(None, ge=1)
    export_rows_at_once: int = Field(5000, ge=0, le=100_000)
    export_keep_hours: float = Field(72, gt=0, le=24 * 365)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if not url:
            return url
        try:
            driver = make_url(url).drivername
        except ArgumentError as error:
            raise ValueError("is not a database URL") from error
        if driver not in ("sqlite", "postgresql+psycopg"):
            raise ValueError("must begin with sqlite:/// or postgresql+psycopg://")
        return url

    @field_validator("simulator_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
            raise ValueError("is the address under which people open PO Confirm, such as https://po.example")
        return url

    @field_validator("mail_from", "mail_to")
    @classmethod
    def _mailboxes(cls, text: str, info: ValidationInfo) -> str:
        found = [one.strip() for one in text.split(",") if one.strip()]
        if any(not re.fullmatch(r"[^\s@<>,;:\"]+@[A-Za-z0-9.-]+", one) for one in found):
            raise ValueError("is a mail address, such as po@supplier.example")
        if info.field_name == "mail_from" and len(found) > 1:
            raise ValueError("is one mail address")
        return ", ".join(found)

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, url: str, info: ValidationInfo) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps", "smtp+plain") or not parts.hostname:
            raise ValueError("is smtp://, smtps:// or smtp+plain://, perhaps user:password@, and a host")
        if not (info.data.get("mail_from") and info.data.get("mail_to")):
            raise ValueError("needs mail_from and mail_to as well")
        return url

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is not the name of a time zone, such as Asia/Kolkata") from error
        return name

    @property
    def mail_addresses(self) -> list[str]:
        """Whom alerts go to."""
        return [one for one in self.mail_to.split(", ") if one]

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which times are shown, and read where a query gives none."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Read all three sources; what is ``given`` wins over them.

        Errors: SettingsError with one line that names the setting and what is wrong with it.
        """
        environ = os.environ if environ is None else environ
        from_environment = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        instance = Path(given.get("instance") or from_environment.get("instance") or ROOT / "instance")
        values = {**_from_file(instance / "config.toml"), **from_environment, **given, "instance": instance}
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise SettingsError(_one_line(error, from_environment)) from None
        return settings.model_copy(update=settings._made_once())

    def _made_once(self) -> dict[str, str]:
        """The defaults that need the instance folder."""
        made: dict[str, str] = {}
        if not self.database_url:
            made["database_url"] = f"sqlite:///{self.instance / 'po-confirm.sqlite'}"
        if not self.secret_key:
            made["secret_key"] = kept_secret(self.instance / "secret-key")
        return made


def kept_secret(path: Path, make: Callable[[], str] = secrets.token_urlsafe) -> str:
    """The secret in ``path``, made at random by ``make`` and kept with mode 0600 when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        kept = path.read_text().strip()
        if not kept:
            raise SettingsError(f"{path} is empty: delete it, and a new secret is made") from None
        return kept
    with os.fdopen(descriptor, "w") as file:
        made = make()
        file.write(made + "\n")
    return made


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _one_line(error: ValidationError, from_environment: Mapping[str, str]) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0])
    name = PREFIX + field.upper() if field in from_environment else f"{field} in config.toml"
    if first["type"] == "extra_forbidden":
        return f"{name} is not a setting of PO Confirm"
    given = "…" if field in SECRET else repr(first["input"])
    return f"{name}={given}: {first['msg'].removeprefix('Value error, ')}"
