"""The users in tests, and a signed-in browser for each."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from datetime import timedelta
from functools import cached_property
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import html5lib
from argon2 import PasswordHasher
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import clock
from app.accounts import sessions
from app.accounts.access import TOKEN
from app.accounts.models import Person, PersonSupplier, Role, UserSession
from app.db import Database

PASSWORD = "correct-horse-42"
fast_hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes in a millisecond. A hash carries its parameters, so the app verifies these as fast."""
_hash = fast_hasher.hash(PASSWORD)

TRIVENI, BEARINGS = "SUPPB2B0001@bbps", "SUPPB2B0002@bbps"
USERS: dict[str, tuple[str, Role, tuple[str, ...]]] = {
    "asha": ("Asha", Role.SUPPLIER, (TRIVENI, BEARINGS)),
    "omar": ("Omar", Role.SUPPLIER, (BEARINGS,)),
    "meera": ("Meera", Role.MANAGER, ()),
    "ravi": ("Ravi", Role.SUPPORT, ()),
    "admin": ("Admin", Role.ADMIN, ()),
}
ASHA = Person(id=1, full_name="Asha")
"""Asha as the one who responds."""
HTMX = {"HX-Request": "true"}
"""The header of a request for a fragment."""


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
    token, now = secrets.token_urlsafe(32), clock.now()
    later = now + timedelta(days=3650)
    with database.writing() as session:
        person_id = session.scalar(select(Person.id).where(Person.username == username))
        session.execute(
            insert(UserSession).values(
                token_sha256=sessions.digest(token),
                person_id=person_id,
                created_at=now,
                last_seen_at=later,
                expires_at=later,
                confirmed_at=later,
                address="",
                user_agent="",
            )
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
    def visible_text(self) -> str:
        """The visible text, with single spaces. Parsing would take longer than making the page."""
        return " ".join(unescape(_TAGS.sub(" ", self.get_data(as_text=True))).split())

    @property
    def csrf_token(self) -> str:
        """The CSRF token, which all forms of a page share."""
        token = _TOKEN.search(self.get_data(as_text=True))
        assert token, "no form on the page"
        return token[1]

    def one(self, selector: str) -> Tag:
        """The only element that matches."""
        return one(self.page, selector)


def one(element: Tag, selector: str) -> Tag:
    """The only descendant that matches."""
    elements = element.select(selector)
    assert len(elements) == 1, f"{len(elements)} elements match {selector}"
    return elements[0]


def po_numbers(page: ParsedResponse) -> list[str]:
    """The PO numbers in the list of orders, in its order."""
    return [link.get_text(strip=True) for link in page.page.select("#orders-list td.col-order a")]


class Browser(FlaskClient):
    """A browser without JavaScript: it parses strictly and submits all fields of a form."""

    def open(self, *args: Any, **options: Any) -> ParsedResponse:
        response = super().open(*args, **options)
        assert isinstance(response, ParsedResponse)
        if response.mimetype == "text/html" and response.status_code != 304:
            parse_strictly(response.get_data())
        return response

    def get(self, *args: Any, **options: Any) -> ParsedResponse:
        return self.open(*args, **options, method="GET")

    def post(self, *args: Any, **options: Any) -> ParsedResponse:
        return self.open(*args, **options, method="POST")

    def fill(self, url: str, action: str) -> dict[str, Any]:
        """Open ``url`` and return the fields of its form that posts to ``action``, as sent."""
        page = self.get(url)
        assert page.status_code == 200, page.status_code
        # Parsing the whole page would take several times as long.
        forms = [form for form in _FORM.findall(page.get_data(as_text=True)) if _action(form) == action]
        assert forms, f"no form on {url} posts to {action}"
        return fields_of(BeautifulSoup(forms[0], "html.parser"))

    def send(self, url: str, fields: dict[str, Any], **more: Any) -> ParsedResponse:
        """POST the fields as a form does."""
        body = urlencode(fields, doseq=True)
        return self.post(url, data=body, content_type="application/x-www-form-urlencoded", **more)

    def submit(self, url: str, action: str, *, headers: Any = None, **fields: Any) -> ParsedResponse:
        """Open ``url``, fill in its form that posts to ``action``, and submit it."""
        return self.send(action, {**self.fill(url, action), **fields}, headers=headers)

    def sign_in(self, username: str, password: str = PASSWORD, url: str = "/login") -> ParsedResponse:
        """Submit the sign-in form."""
        return self.submit(url, url, username=username, password=password)

    def respond(
        self, order_id: int, response: str = "ACCEPT", remarks: str = "Confirmed", **more: Any
    ) -> ParsedResponse:
        """Open the response form of an order, fill it in and submit it."""
        url = f"/orders/{order_id}/answer"
        return self.submit(url, url, supplier_response=response, supplier_remarks=remarks, **more)


def _action(form: str) -> str | None:
    """The URL that a form posts to."""
    action = _ACTION.match(form)
    return unescape(action[1]) if action else None


def fields_of(form: Tag) -> dict[str, Any]:
    """The successful controls of a form, as HTML defines them; buttons are left out."""
    fields: dict[str, Any] = {}
    for control in form.find_all(["input", "select", "textarea"]):
        name = str(control.get("name", ""))
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

    Parsing takes as long as making the page, so pages that differ only in plain text or in the number of
    equal rows, items or options are parsed once.
    """
    duplicates = [id for id, count in Counter(_ID.findall(body)).items() if count > 1]
    assert not duplicates, f"duplicate ids: {duplicates}"
    assert len(_AUTOFOCUS.findall(body)) <= 1, "HTML allows one autofocus per page"
    skeleton = _TEXT.sub(b">text<", _BLANKS.sub(b"><", _VALUE.sub(b'""', body)))
    structure = b"".join(dict.fromkeys(_ITEMS.split(skeleton)))
    if structures.include(structure):
        return
    parser = html5lib.HTMLParser(strict=True)
    if body.lstrip().lower().startswith(b"<!doctype"):
        levels = [int(level) for level in _HEADING.findall(body)]
        assert all(lower - upper <= 1 for upper, lower in pairwise(levels)), f"headings skip: {levels}"
        tree = parser.parse(body, transport_encoding="utf-8")
    else:
        tree = parser.parseFragment(body, transport_encoding="utf-8")
    _check_content(tree)
    structures.add(structure)


def _check_content(tree: Any) -> None:
    """Check rules of content that the parser does not know. Errors: AssertionError."""
    for element in tree.iter():
        name = _local_name(element)
        for child in element:
            assert _local_name(child) != "figcaption" or name == "figure", f"<figcaption> in <{name}>"
        if name == "section" and not {"aria-label", "aria-labelledby"}.intersection(element.keys()):
            headings = {_local_name(inner) for inner in element.iter()} & {"h1", "h2", "h3", "h4"}
            assert headings, "a <section> has no heading and no label: use a <div>"


def _local_name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


# What has no effect on the structure: attribute values, and text between tags. Markup is escaped.
_ESCAPED = rb"&(?:amp|lt|gt|#34|#39);"
_VALUE = re.compile(rb'"(?:[^"&<>]|%s)*"' % _ESCAPED)
_BLANKS = re.compile(rb">\s+<")
_ITEMS = re.compile(rb"(?=<(?:tr|li|option)\b)")
_FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
_ACTION = re.compile(r"<form\b[^>]*?\saction=\"([^\"]*)\"")
_TOKEN = re.compile(r'name="csrf_token"[^>]*? value="([^"]*)"')
_TEXT = re.compile(rb">(?:[^<>&]|%s)+<" % _ESCAPED)
_ID = re.compile(rb"\sid=[\"']?([^\s\"'>]+)")
_AUTOFOCUS = re.compile(rb"\sautofocus[\s>]")
_HEADING = re.compile(rb"<h([1-6])[\s>]")
_TAGS = re.compile(r"<template\b.*?</template>|<[^>]*>", re.DOTALL)


class Structures:
    """The structures of pages that were parsed strictly; test processes share them through a folder."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._names: set[str] = set()

    def include(self, structure: bytes) -> bool:
        name = _name(structure)
        return name in self._names or bool(self.folder and (self.folder / name).exists())

    def add(self, structure: bytes) -> None:
        self._names.add(_name(structure))
        if self.folder:
            (self.folder / _name(structure)).touch()


def _name(structure: bytes) -> str:
    return hashlib.sha256(structure).hexdigest()


structures = Structures()
