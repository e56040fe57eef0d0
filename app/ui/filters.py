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
from app.inbound.forms import EFFECT_NAMES
from app.network.vocabulary import DeviceTag
from app.orders.activity import activity_entry
from app.orders.change_summary import change_brief, change_label, field_change, header_change, line_change
from app.orders.totals import line_rest, line_taxes, sums, tax_path
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
from app.ui.states import (
    VERBS,
    answer_chip,
    attempt_chip,
    effect_chip,
    given,
    given_chip,
    is_answerable,
    is_in_vain,
    is_open,
    message_chip,
    order_delivery,
    stands,
    state_words,
    status_words,
    urgency,
)
from app.ui.times import (
    ago,
    clock_time,
    day,
    exact_time,
    for_input,
    long_day,
    moment,
    pace,
    until,
)
from app.ui.view_summary import narrowing
from app.webhooks.presenters import (
    as_curl,
    at_simulator,
    curl_variables,
    effect_words,
    headers_as_text,
    http_phrase,
    inbound_kind,
    lasting,
    refused_field,
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
        narrowing=lambda kept: narrowing(kept.page, kept.query, web.zone()),
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
        tax_path=tax_path,
        given=given,
        given_chip=given_chip,
        status_words=status_words,
        answer_chip=answer_chip,
        order_delivery=order_delivery,
        message_chip=message_chip,
        attempt_chip=lambda attempt, message: attempt_chip(attempt, message, clock.now()),
        as_curl=as_curl,
        at_simulator=at_simulator,
        curl_variables=curl_variables,
        stands=stands,
        state_words=state_words,
        headers_as_text=headers_as_text,
        http_phrase=http_phrase,
        lasting=lasting,
        change_brief=change_brief,
        change_label=change_label,
        effect_chip=effect_chip,
        effect_name=lambda effect: EFFECT_NAMES[effect],
        effect_words=effect_words,
        inbound_kind=inbound_kind,
        pace=lambda message: pace(message, clock.now()),
        urgency=lambda order: urgency(order, clock.now()),
    )
    app.jinja_env.tests.update(
        open_order=is_open,
        answerable=is_answerable,
        answered_in_vain=is_in_vain,
        pairs=is_pairs,
        iso_day=lambda text: iso_day(text) is not None,
        past=lambda when: when <= clock.now(),
    )
    app.jinja_env.globals.update(
        differences=differences,
        header_change=header_change,
        line_change=line_change,
        field_change=field_change,
        activity_entry=activity_entry,
        sums=sums,
        line_taxes=line_taxes,
        line_rest=line_rest,
        refused_field=refused_field,
        present=clock.now,
        asset=lambda filename: asset(app, filename),
        package_versions={name: version(name) for name in ("bootstrap-flask", "django-js-lib-htmx")},
        device_tags=[tag.value for tag in DeviceTag],
        answer_verbs={response.value: verb for response, verb in VERBS.items()},
    )
