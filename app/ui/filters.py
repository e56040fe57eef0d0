"""How values are shown. Pure functions by what they show, joined to the templates as filters here.

The functions take the reader's zone and the present as arguments; ``init_app`` gives them both.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from flask import Flask, url_for

from app import clock
from app.ui import web
from app.ui.bodies import (
    coloured,
    compact,
    differences,
    is_pairs,
    pretty,
    spoken,
    without,
)
from app.ui.fields import iso_day
from app.ui.numbers import (
    amount,
    count,
    duration,
    money,
    number,
    plain,
    size,
    things,
)
from app.ui.times import (
    ago,
    clock_time,
    day,
    exact_time,
    for_input,
    long_day,
    moment,
    until,
)


def asset(app: Flask, filename: str) -> str:
    """The URL of one of our own static files, with its content in the URL, so that browsers may keep it."""
    path = Path(app.static_folder or "") / filename
    return url_for("static", filename=filename, v=_fingerprint(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _fingerprint(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def init_app(app: Flask) -> None:
    """Give the filters and functions to the templates."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        money=money,
        amount=amount,
        number=number,
        plain=plain,
        count_shown=count,
        things=things,
        duration=duration,
        size=size,
        moment=lambda when: moment(when, web.zone(), clock.now()),
        exact_time=lambda when: exact_time(when, web.zone()),
        long_day=lambda when: long_day(when, web.zone()),
        clock_time=lambda when: clock_time(when, web.zone()),
        until=lambda when: until(when, clock.now()),
        ago=lambda when: ago(when, clock.now()),
        day=lambda text, year=False: day(text, clock.now().astimezone(web.zone()), year=year),
        for_input=lambda when: for_input(when, web.zone()),
        pretty=pretty,
        compact=compact,
        without=without,
        coloured=coloured,
        spoken=spoken,
    )
    app.jinja_env.tests.update(
        pairs=is_pairs,
        iso_day=lambda text: iso_day(text) is not None,
        past=lambda when: when <= clock.now(),
    )
    app.jinja_env.globals.update(
        differences=differences,
        present=clock.now,
        asset=lambda filename: asset(app, filename),
        package_versions={name: version(name) for name in ("bootstrap-flask", "django-js-lib-htmx")},
    )
