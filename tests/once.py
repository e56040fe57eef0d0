"""What a deployment makes once for years, and the tests would make anew for each of their apps.

Every test has an app and a database of its own. What both are made of is always the same: the builders of
the routes' addresses and the compiled statements. A process makes them once, as a deployment does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Dialect, Engine
from sqlalchemy import create_engine as new_engine
from werkzeug.routing import Rule

from app import db


class Templates(BytecodeCache):
    """Templates that were compiled for one app serve those of all other tests of this process."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


class OnceBuilt(Rule):
    """A rule that shares what builds its address with the same rule of other apps.

    werkzeug writes and compiles two functions for each rule: that is almost all of what an app costs. They
    take the rule as their first argument and hold nothing of it.
    """

    _built: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:  # their values are written into the function by the converters
            return super()._compile_builder(append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in self._built:
            self._built[key] = super()._compile_builder(append_unknown)
        return self._built[key]


class Statements:
    """Statements that were compiled for one engine serve all others of its kind, as in one long life.

    SQLAlchemy keeps them by the dialect, so the engines share that too, once it knows its server.
    """

    def __init__(self) -> None:
        self._dialects: dict[str, Dialect] = {}
        self._compiled: dict[Any, Any] = {}

    def learn(self, engine: Engine) -> None:
        """Let later engines share the dialect of this one, which was connected."""
        self._dialects.setdefault(engine.dialect.name, engine.dialect)

    def engine(self, url: str, **more: Any) -> Engine:
        """What ``create_engine`` makes, which shares what is known."""
        engine = new_engine(url, **more)
        if engine.dialect.name in self._dialects:
            engine.dialect = self._dialects[engine.dialect.name]
            engine.update_execution_options(compiled_cache=self._compiled)
        return engine


TEMPLATES = Templates()
STATEMENTS = Statements()


def share() -> None:
    """From now on the apps and engines of this process share all this."""
    Flask.url_rule_class = OnceBuilt
    db.create_engine = STATEMENTS.engine
