"""Register the template filters, tests and globals of this package.

The functions take the reader's time zone and the current time as arguments; ``init_app`` supplies both.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from flask import Flask, g, url_for

from app import clock
from app.db.filters import PAGE, SEARCH_WINDOW
from app.network.text import iso_day, pluralize
from app.ui import web
from app.ui.bodies import (
    colored,
    compact,
    differences,
    field_label,
    pretty,
    tree_kind,
    without,
)
from app.ui.fields import SESSION_ENDED
from app.ui.listing import new_rows_text
from app.ui.numbers import count, duration, money, number, plain, pluralize_capped, size
from app.ui.times import (
    ago,
    clock_time,
    day,
    elapsed,
    exact_time,
    for_input,
    iso_time,
    long_day,
    moment,
    printed_time,
    until,
)

STYLE_SHEETS = (
    "tokens",
    "base",
    "layout",
    "components",
    "forms",
    "tables",
    "order",
    "webhook",
    "search",
    "print",
)
"""The style sheets of every page, in the order in which rules override each other."""

HTMX_CONFIG = json.dumps(
    {
        "includeIndicatorStyles": False,
        "allowEval": False,
        "allowScriptTags": False,
        "selfRequestsOnly": True,
        "historyCacheSize": 0,
        "refreshOnHistoryMiss": True,
        "scrollIntoViewOnBoost": False,
        "responseHandling": [
            {"code": "204", "swap": False},
            {"code": "[23]..", "swap": True},
            {"code": "4(09|22)", "swap": True},
            {"code": "[45]..", "swap": True, "error": True, "target": "#alerts", "swapOverride": "innerHTML"},
            {"code": "...", "swap": False},
        ],
    }
)
"""Settings of htmx: no inline script or style, no cached history, and errors go to the alerts."""


def asset(app: Flask, filename: str) -> str:
    """The URL of a static file, with a hash of its content so that browsers may cache it for a year."""
    path = Path(app.static_folder or "") / filename
    return url_for("static", filename=filename, v=_fingerprint(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _fingerprint(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def autofocus() -> str:
    """The attribute for the first element that requests the focus: HTML allows one per page."""
    if g.get("has_autofocus"):
        return ""
    g.has_autofocus = True
    return "autofocus"


def init_app(app: Flask) -> None:
    """Add filters, tests and globals to the templates."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        money=money,
        number=number,
        plain=plain,
        count_shown=count,
        pluralize=pluralize,
        pluralize_capped=pluralize_capped,
        duration=duration,
        size=size,
        moment=lambda when: moment(when, web.zone(), clock.now()),
        iso_time=iso_time,
        exact_time=lambda when: exact_time(when, web.zone()),
        printed_time=lambda when: printed_time(when, web.zone()),
        long_day=lambda when: long_day(when, web.zone()),
        clock_time=lambda when: clock_time(when, web.zone()),
        until=lambda when: until(when, clock.now()),
        ago=lambda when: ago(when, clock.now()),
        elapsed=lambda since: elapsed(since, clock.now()),
        day=lambda text, year=False: day(text, clock.now().astimezone(web.zone()), year=year),
        for_input=lambda when: for_input(when, web.zone()),
        pretty=pretty,
        compact=compact,
        without=without,
        colored=colored,
        field_label=field_label,
        tree_kind=tree_kind,
    )
    app.jinja_env.tests.update(
        iso_day=lambda text: iso_day(text) is not None,
        past=lambda when: when <= clock.now(),
    )
    app.jinja_env.globals.update(
        differences=differences,
        htmx_config=HTMX_CONFIG,
        style_sheets=STYLE_SHEETS,
        autofocus=autofocus,
        session_ended=SESSION_ENDED,
        current_time=clock.now,
        page_size=PAGE,
        search_window=SEARCH_WINDOW,
        new_rows_text=new_rows_text,
        asset=lambda filename: asset(app, filename),
        package_versions={name: version(name) for name in ("bootstrap-flask", "django-js-lib-htmx")},
    )
