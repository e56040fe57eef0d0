"""Logging: structlog over the standard library, one event per line, readable or as JSON."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from app.config import Settings

FIELDS = ("request_id", "person", "address", "method", "route", "status", "duration_ms")
"""What a log record may carry besides its text: nothing that could hold a secret or a body."""


def _on_one_line(_logger: Any, _name: str, event: Any) -> Any:
    """Put the text on one line: database errors have several, and foreign text could forge a log line."""
    event["event"] = " ".join(str(event["event"]).split())
    return event


_SHARED: list[Any] = [
    _on_one_line,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(allow=FIELDS),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(settings: Settings) -> None:
    """Send all log records of this process to standard error, in the format of ``PO_LOG``."""
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=False,
        # The default prints local variables, which may hold secrets, where rich is installed.
        exception_formatter=structlog.dev.plain_traceback,
    )
    if settings.log == "json":
        renderer = structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info if settings.log == "json" else _unchanged,
            renderer,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.set_name("po-confirm")
    root = logging.getLogger()
    # Commands and tests create several apps in one process: the newest app's format applies.
    root.handlers = [other for other in root.handlers if other.get_name() != handler.get_name()]
    root.addHandler(handler)
    # Libraries may log contents, as the one that embeds the characters of a PDF does.
    root.setLevel(logging.WARNING)
    logging.getLogger("app").setLevel(logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _unchanged(_logger: Any, _name: str, event: Any) -> Any:
    return event
