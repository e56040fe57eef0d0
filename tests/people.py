"""The users in tests, and a signed-in browser for each."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from functools import cached_property
from html import unescape
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import html5lib
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import clock
from app.accounts import sessions
from app.accounts.access import TOKEN
from app.accounts.models import Person, PersonSupplier, Role, UserSession
from app.accounts.passwords import hash_password
from app.accounts.queries import person_by_username
from app.db import Database

PASSWORD = "correct-horse-42"
_hash = hash_password(PASSWORD)

TRIVENI, BEARINGS = "SUPPB2B0001@bbps", "SUPPB2B0002@bbps"
USERS: dict[str, tuple[str, Role, tuple[str, ...]]] = {
    "asha": ("Asha", Role.SUPPLIER, (TRIVENI, BEARINGS)),
    "omar": ("Omar", Role.SUPPLIER, (BEARINGS,)),
    "meera": ("Meera", Role.MANAGER, ()),
    "ravi": ("Ravi", Role.SUPPORT, ()),
    "admin": ("Admin", Role.ADMIN, ()),
}


def add_users(session: Session) -> None:
    """Create the accounts of all test users; one password hash is enough."""
    for name, (full_name, role, suppliers) in USERS.items():
        session.add(
            Person(
                username=name,
                full_name=full_name,
                role=role,
                password_hash=_hash,
                active=True,
                created_at=clock.now(),
                suppliers=[PersonSupplier(b2b_id=b2b_id) for b2b_id in suppliers],
            )
        )


def sign_in(browser: FlaskClient, database: Database, username: str) -> None:
    """Sign in without the form. The session outlives the movable clock of the tests."""
    with database.writing() as session:
        person = person_by_username(session, username)
        assert person
        years = timedelta(days=3650)
        token = sessions.begin(session, person, idle=years, lifetime=years)
        session.execute(
            update(UserSession)
            .where(UserSession.token_sha256 == sessions.digest(token))
            .values(last_seen_at=clock.now() + years, confirmed_at=clock.now() + years)
        )
        session.commit()
    with browser.session_transaction() as cookie:
        cookie[TOKEN] = token


class ParsedResponse(TestResponse):
    """A response whose HTML is parsed strictly."""

    @cached_property
    def page(self) -> BeautifulSoup:
        """The parsed page or fragment."""
        return BeautifulSoup(self.get_data(as_text=True), "html.parser")

    @property
    def words(self) -> str:
        """The visible text, with single spaces. Parsing would take longer than making the page."""
        return " ".join(unescape(_TAGS.sub(" ", self.get_data(as_text=True))).split())

    def one(self, selector: str) -> Tag:
        """The only element that matches."""
        elements = self.page.select(selector)
        assert len(elements) == 1, f"{len(elements)} elements match {selector}"
        return elements[0]


class Browser(FlaskClient):
    """A browser without JavaScript: it parses strictly and submits all fields of a form."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        response = super().open(*args, **kwargs)
        if response.mimetype == "text/html" and response.status_code != 304:
            parse_strictly(response.get_data())
        return response

    def fill(self, url: str, action: str) -> dict[str, Any]:
        """Open ``url`` and return the fields of its form that posts to ``action``, as sent."""
        page = self.get(url)
        assert page.status_code == 200, page.status_code
        forms = [form for form in page.page.find_all("form") if form.get("action") == action]
        assert forms, f"no form on {url} posts to {action}"
        return fields_of(forms[0])

    def send(self, url: str, fields: dict[str, Any], **more: Any) -> Any:
        """POST the fields as a form does."""
        body = urlencode(fields, doseq=True)
        return self.post(url, data=body, content_type="application/x-www-form-urlencoded", **more)

    def respond(
        self, order_id: int, response: str = "ACCEPT", remarks: str = "Confirmed", **more: Any
    ) -> Any:
        """Open the response form of an order, fill it in and submit it."""
        url = f"/orders/{order_id}/answer"
        fields = {**self.fill(url, url), "supplier_response": response, "supplier_remarks": remarks, **more}
        return self.send(url, fields)


def fields_of(form: Tag) -> dict[str, Any]:
    """The successful controls of a form, as HTML defines them; buttons are left out."""
    fields: dict[str, Any] = {}
    for control in form.find_all(["input", "select", "textarea"]):
        name = control.get("name")
        kind = control.get("type", "text")
        if not name or kind in ("submit", "button", "image") or control.has_attr("disabled"):
            continue
        if kind in ("radio", "checkbox") and not control.has_attr("checked"):
            continue
        if kind == "checkbox" and name in fields:
            earlier = fields[name]
            fields[name] = [
                *(earlier if isinstance(earlier, list) else [earlier]),
                control.get("value", "on"),
            ]
        elif control.name == "textarea":
            fields[name] = control.get_text().removeprefix("\n")
        elif control.name == "select":
            chosen = control.find("option", selected=True) or control.find("option")
            fields[name] = chosen.get("value", "") if chosen else ""
        else:
            fields[name] = control.get("value", "")
    return fields


def parse_strictly(body: bytes) -> None:
    """Parse a page or a fragment as HTML. Errors: html5lib's ParseError at the first fault.

    Parsing takes as long as making the page, so pages that differ only in plain text are parsed once.
    """
    duplicates = [id for id, count in Counter(_ID.findall(body)).items() if count > 1]
    assert not duplicates, f"duplicate ids: {duplicates}"
    assert len(_AUTOFOCUS.findall(body)) <= 1, "HTML allows one autofocus per page"
    structure = _TEXT.sub(b">text<", _BLANKS.sub(b"><", _VALUE.sub(b'""', body)))
    if structure in _parsed:
        return
    parser = html5lib.HTMLParser(strict=True)
    if body.lstrip().lower().startswith(b"<!doctype"):
        levels = [int(level) for level in _HEADING.findall(body)]
        assert all(lower - upper <= 1 for upper, lower in pairwise(levels)), f"headings skip: {levels}"
        parser.parse(body, transport_encoding="utf-8")
    else:
        parser.parseFragment(body, transport_encoding="utf-8")
    _parsed.add(structure)


# What has no effect on the structure: attribute values, and text between tags. Markup is escaped.
_ESCAPED = rb"&(?:amp|lt|gt|#34|#39);"
_VALUE = re.compile(rb'"(?:[^"&<>]|%s)*"' % _ESCAPED)
_BLANKS = re.compile(rb">\s+<")
_TEXT = re.compile(rb">(?:[^<>&]|%s)+<" % _ESCAPED)
_ID = re.compile(rb"\sid=[\"']?([^\s\"'>]+)")
_AUTOFOCUS = re.compile(rb"\sautofocus[\s>]")
_HEADING = re.compile(rb"<h([1-6])[\s>]")
_TAGS = re.compile(r"<template\b.*?</template>|<[^>]*>", re.DOTALL)
_parsed: set[bytes] = set()
