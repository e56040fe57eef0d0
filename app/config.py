"""Settings: defaults, then ``instance/config.toml``, then ``PO_*`` environment variables."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from pydantic import BeforeValidator, Field, IPvAnyNetwork, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "PO_"
SECRET_KEY_MIN = 16
"""Minimum length of a secret key, in characters."""
DAYS_MAX = 36_500
"""The longest retention. Much longer ones would begin before any date that Python knows."""


def _split(value: Any) -> Any:
    """The parts of a text that are separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _is_ipv6(text: str) -> bool:
    """Whether the text is an IPv6 address, without brackets."""
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


T = TypeVar("T")
CommaSeparated = Annotated[tuple[T, ...], NoDecode, BeforeValidator(_split)]


class SettingsError(ValueError):
    """An unknown or invalid setting. The text is one line for the operator."""


class Settings(BaseSettings):
    """All settings. Field ``x`` is ``x`` in the file and ``PO_X`` in the environment.

    The value of a field with ``repr=False`` is secret, and never printed.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    instance: Path = ROOT / "instance"
    database_url: str = Field("", repr=False)
    secret_key: str = Field("", repr=False)
    # Fernet keys: the first encrypts, all of them decrypt.
    encryption_keys: CommaSeparated[str] = Field((), repr=False)
    respond_within_hours: float = Field(24, gt=0, le=24 * 365)
    serve_delivers: bool = True
    serve_works: bool = True
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    undo_seconds: float = Field(0, ge=0, le=600)
    time_zone: ZoneInfo = ZoneInfo("Asia/Kolkata")
    web_processes: int = Field(2, ge=1, le=64)
    web_threads: int = Field(4, ge=1, le=64)
    senders: int = Field(8, ge=1, le=128)
    # Consecutive failed attempts that make a partner failing.
    failing_after: int = Field(3, ge=1, le=100)
    secure_cookies: bool = False
    # A session ends after this time without activity, and at the latest after these hours.
    session_idle_minutes: float = Field(60, ge=1, le=60 * 24 * 30)
    session_hours: float = Field(12, ge=0.1, le=24 * 30)
    trusted_proxies: int = Field(0, ge=0, le=8)
    # Set by `flask demo`: pages link to what the partner simulator received.
    simulator_url: str = ""
    public_url: str = ""
    # Host names besides loopback and the one of `public_url`.
    trusted_hosts: CommaSeparated[str] = ()
    log: Literal["text", "json"] = "text"
    # Who may read /metrics: a bearer token, or networks.
    metrics_token: str = Field("", repr=False)
    metrics_allow: CommaSeparated[IPvAnyNetwork] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )
    mail_from: str = ""
    mail_to: CommaSeparated[str] = ()
    # Declared after mail_from and mail_to, which its validator needs.
    smtp_url: str = Field("", repr=False)
    alert_deadlines: Literal["off", "hourly", "daily"] = "daily"
    keep_messages_days: float | None = Field(None, ge=1, le=DAYS_MAX)
    keep_inbound_days: float | None = Field(None, ge=1, le=DAYS_MAX)
    keep_audit_days: float | None = Field(None, ge=1, le=DAYS_MAX)
    export_rows_at_once: int = Field(5000, ge=0, le=100_000)
    export_keep_hours: float = Field(72, gt=0, le=24 * 365)

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str) -> str:
        if not url:
            return url
        try:
            parts = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise ValueError("must be a database URL") from error
        driver = parts.drivername
        if "@" in (parts.host or ""):  # part of the password, which connection errors would print
            raise ValueError("must encode @ in the password as %40")
        if driver not in ("sqlite", "postgresql+psycopg"):
            raise ValueError("must start with sqlite:/// or postgresql+psycopg://")
        if driver == "sqlite" and parts.database in (None, "", ":memory:"):
            raise ValueError(
                "must name a file, which all processes share, such as sqlite:///po-confirm.sqlite"
            )
        return url

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, key: str) -> str:
        if key and len(key) < SECRET_KEY_MIN:
            raise ValueError(f"must have at least {SECRET_KEY_MIN} characters")
        return key

    @field_validator("encryption_keys")
    @classmethod
    def _check_encryption_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for key in keys:
                Fernet(key)
        except ValueError as error:
            raise ValueError("must be Fernet keys, separated by commas") from error
        return keys

    @field_validator("trusted_hosts")
    @classmethod
    def _lower_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # Requests are compared without scheme and port, so that any other form would match none.
        if not all(re.fullmatch(r"[\w.-]+", name, re.ASCII) or _is_ipv6(name) for name in names):
            raise ValueError("must be host names such as po.example, without scheme and port")
        return tuple(name.lower() for name in names)

    @field_validator("simulator_url")
    @classmethod
    def _check_simulator_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
            raise ValueError("must be the URL at which people open PO Confirm, such as https://po.example")
        urlsplit(url).port  # noqa: B018 - raises ValueError if host or port are malformed
        return url

    @field_validator("mail_from", "mail_to")
    @classmethod
    def _check_mail_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, str):
            value = value.strip()
        addresses = [value] if value and isinstance(value, str) else value
        if any(not re.fullmatch(r"[^\s@<>,;:\"]+@[A-Za-z0-9.-]+", address) for address in addresses):
            raise ValueError("must be an email address, such as po@supplier.example")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, url: str, info: ValidationInfo) -> str:
        if not url:
            return url
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises ValueError if it is out of range
        except ValueError as error:
            raise ValueError("must be the URL of a mail server") from error
        is_known = parts.scheme in ("smtp", "smtps", "smtp+plain") and parts.hostname
        if not is_known or parts.path not in ("", "/") or parts.query:
            raise ValueError(
                "must be smtp://, smtps:// or smtp+plain://, optionally user:password@, and a host"
            )
        if not (info.data.get("mail_from") and info.data.get("mail_to")):
            raise ValueError("also needs mail_from and mail_to")
        return url

    @property
    def is_https(self) -> bool:
        """Whether people open the site over HTTPS, so that cookies and HSTS can demand it."""
        return self.public_url.startswith("https://")

    @property
    def session_idle(self) -> timedelta:
        """How long a session lasts without activity."""
        return timedelta(minutes=self.session_idle_minutes)

    @property
    def session_lifetime(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.session_hours)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword arguments win over the environment, which wins over ``config.toml``."""
        assert isinstance(init_settings, InitSettingsSource)
        file = Path(init_settings.init_kwargs["instance"]) / "config.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read the environment and the file; ``values`` win over both.

        Errors: SettingsError with one line that names the setting and the problem.
        """
        for name in os.environ:
            if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in cls.model_fields:
                raise SettingsError(f"{name} is not a setting of PO Confirm")
        values.setdefault("instance", os.environ.get(f"{PREFIX}INSTANCE") or ROOT / "instance")
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise SettingsError(_one_line(error)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SettingsError(f"config.toml cannot be read: {error}") from None
        try:
            settings.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
            return settings.model_copy(update=settings._instance_defaults())
        except OSError as error:
            raise SettingsError(f"{PREFIX}INSTANCE={str(settings.instance)!r}: {error.strerror}") from None

    def _instance_defaults(self) -> dict[str, Any]:
        """The defaults that depend on the instance folder."""
        defaults: dict[str, Any] = {}
        if not self.database_url:
            defaults["database_url"] = f"sqlite:///{self.instance / 'po-confirm.sqlite'}"
        if not self.encryption_keys:
            path = self.instance / "encryption-key"
            key = read_or_create_secret(path, lambda: Fernet.generate_key().decode())
            defaults["encryption_keys"] = (key,)
        if not self.secret_key:
            defaults["secret_key"] = read_or_create_secret(self.instance / "secret-key")
        return defaults


def read_or_create_secret(path: Path, make: Callable[[], str] = secrets.token_urlsafe) -> str:
    """Return the secret in ``path``; if the file is absent, create it with mode 0600 from ``make``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_text().strip()
        if not secret:
            raise SettingsError(f"{path} is empty. Delete it to generate a new secret.") from None
        return secret
    with os.fdopen(descriptor, "w") as file:
        secret = make()
        file.write(secret + "\n")
    return secret


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0])
    variable = PREFIX + field.upper()
    name = variable if variable in os.environ else f"{field} in config.toml"
    if first["type"] == "extra_forbidden":
        return f"{name} is not a setting of PO Confirm"
    value = repr(first["input"]) if Settings.model_fields[field].repr else "…"
    return f"{name}={value}: {first['msg'].removeprefix('Value error, ')}"
