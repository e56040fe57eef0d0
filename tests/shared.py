"""Compiled templates, statements and URL rules, shared by the tests of one process to save time.

Each test has its own app and its own database. SQLAlchemy keeps compiled statements per engine, so all tests
use one engine per kind of database, and each test points it to its own database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import StrictUndefined, Undefined
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.utils import missing
from sqlalchemy import Engine, event, make_url
from werkzeug.routing import Map, RuleFactory

from app import create_app
from app.config import Settings
from app.db.engine import new_engine
from app.demo.simulator import create_simulator


class TemplateCache(BytecodeCache):
    """Compiled templates in memory."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code:
            self._code[bucket.key, bucket.checksum] = bucket.code


class SharedRules(Map):
    """One URL map for all apps: they add the same rules, and compiling these takes most of ``create_app``."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: set[tuple[str, str, frozenset[str]]] = set()

    def add(self, rulefactory: RuleFactory) -> None:
        for rule in rulefactory.get_rules(self):
            key = (rule.rule, rule.endpoint, frozenset(rule.methods or ()))
            if key not in self._keys:
                self._keys.add(key)
                super().add(rule)


class SharedEngine:
    """An engine that connects to the database of the current test."""

    def __init__(self, url: str) -> None:
        self._database = make_url(url).database
        self._engine = new_engine(url)
        event.listen(self._engine, "do_connect", self._redirect)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _skip_sync)

    def connected_to(self, url: str) -> Engine:
        """The engine, connected to this database and without event listeners of earlier tests."""
        self._database = make_url(url).database
        self._engine.dispose()
        return self._engine.execution_options()

    def _redirect(self, dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        if dialect.name == "sqlite":
            arguments[0] = self._database
        else:
            options["dbname"] = self._database


def _skip_sync(connection: Any, _record: object) -> None:
    """Do not wait for the disk: these tests do not cover power failures."""
    connection.execute("PRAGMA synchronous = OFF")


TEMPLATES = TemplateCache()
RULES = SharedRules()
SIMULATOR_RULES = SharedRules()
_engines: dict[str, SharedEngine] = {}


def engine_for(url: str) -> Engine:
    """The shared engine for this kind of database, connected to ``url``."""
    kind = make_url(url).get_backend_name()
    if kind not in _engines:
        _engines[kind] = SharedEngine(url)
    return _engines[kind].connected_to(url)


def make_app(settings: Settings) -> Flask:
    """An app on the database of these settings."""
    with shared_rules(RULES):
        app = create_app(settings, engine=engine_for(settings.database_url))
    app.jinja_env.bytecode_cache = TEMPLATES
    app.jinja_env.undefined = undefined  # type: ignore[assignment]
    return app


def undefined(hint: str | None = None, obj: Any = missing, *args: Any, **options: Any) -> Undefined:
    """Make a template fail if it prints an attribute that an object does not have; names may be missing."""
    is_attribute = obj is not missing and not isinstance(obj, Mapping)
    return (StrictUndefined if is_attribute else Undefined)(hint, obj, *args, **options)


def make_simulator(inbound_key: str) -> Flask:
    """A partner simulator without data that sends to a port where nothing listens."""
    with shared_rules(SIMULATOR_RULES):
        simulator = create_simulator(send_to="http://127.0.0.1:9", inbound_key=inbound_key)
    simulator.jinja_env.bytecode_cache = TEMPLATES
    return simulator


@contextmanager
def shared_rules(rules: SharedRules) -> Iterator[None]:
    """Let apps that are created meanwhile use these URL rules."""
    Flask.url_map_class = staticmethod(lambda **_: rules)  # type: ignore[assignment]
    try:
        yield
    finally:
        Flask.url_map_class = Map
