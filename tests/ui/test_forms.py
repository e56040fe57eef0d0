"""The texts of form errors: this app's own, never those of WTForms."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import flask_wtf.file
import pytest
import wtforms
from flask import Flask
from werkzeug.datastructures import MultiDict
from wtforms.validators import InputRequired, Length, NumberRange, Optional, Regexp

import app as package
from app.ui.fields import choices
from app.ui.forms import ERROR_TEXTS, OTHER_ERROR, FlaskForm, Form

VALUES = ("", " ", "\u200b", "x", "x" * 70_000, "-1", "1e999", "²", "2026-13-01", "99999999999999999999")


def library_texts() -> set[str]:
    """All texts that WTForms and Flask-WTF translate, with their placeholders."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(wtforms.__path__, "wtforms.")
        if ".locale" not in found.name
    ]
    texts = set()
    for module in [*modules, flask_wtf.file]:
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("gettext", "ngettext"):
                texts |= {text.value for text in node.args if isinstance(text, ast.Constant)}
    return {text for text in texts if isinstance(text, str)}


def form_classes() -> list[type[Any]]:
    """All forms of the app."""
    for found in pkgutil.walk_packages(package.__path__, "app."):
        if found.name.endswith("forms"):
            importlib.import_module(found.name)
    classes, new = [], [wtforms.Form]
    while new:
        new = [cls for base in new for cls in base.__subclasses__() if cls not in classes]
        classes += [cls for cls in new if cls.__module__.startswith("app.")]
    return sorted(set(classes), key=lambda cls: (cls.__module__, cls.__name__))


FORMS = [cls for cls in form_classes() if cls not in (Form, FlaskForm)]


def takes_form_data(cls: type[Any]) -> bool:
    """Whether the form can be made from posted fields alone, without a person or an order."""
    return not any("__init__" in vars(base) for base in cls.__mro__ if base.__module__.startswith("app."))


def errors_of(form: Any) -> list[str]:
    """All errors of a form and its parts, as flat texts."""
    found: list[Any] = [form.errors]
    texts = []
    while found:
        error = found.pop()
        if isinstance(error, str):
            texts.append(error)
        else:
            found += error.values() if isinstance(error, dict) else error
    return texts


def test_every_form_has_the_texts_of_the_app() -> None:
    assert len(FORMS) > 25
    assert [cls for cls in FORMS if not issubclass(cls, (Form, FlaskForm))] == []


def test_error_texts_exist_in_the_library() -> None:
    """A new version of WTForms that changes a text is noticed."""
    assert ERROR_TEXTS.keys() <= library_texts()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "cls", [cls for cls in FORMS if takes_form_data(cls)], ids=lambda cls: f"{cls.__module__}.{cls.__name__}"
)
def test_no_text_of_the_library_is_shown(app: Flask, cls: type[Any]) -> None:
    texts = library_texts()
    prefixes = {text.partition("%(")[0] for text in texts} - {"", "'"}
    with app.test_request_context():
        names = list(cls(MultiDict())._fields)
        for value in VALUES:
            form = cls(MultiDict((name, value) for name in names))
            form.validate()
            for error in errors_of(form):
                assert not error.startswith(tuple(prefixes)), (value, error)


STATES = choices([("a", "A")])


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        (wtforms.StringField("Name", [InputRequired()]), "", "Enter a value."),
        (wtforms.StringField("Name", [Length(max=2)]), "abc", "Enter at most 2 characters."),
        (wtforms.StringField("Name", [Length(max=1)]), "abc", "Enter at most 1 character."),
        (wtforms.StringField("Name", [Length(min=4)]), "abc", "Enter at least 4 characters."),
        (wtforms.StringField("Name", [Length(min=4, max=9)]), "abc", "Enter 4 to 9 characters."),
        (wtforms.IntegerField("Count", [NumberRange(min=1)]), "0", "Enter a number of at least 1."),
        (wtforms.IntegerField("Count", [NumberRange(1, 5)]), "6", "Enter a number from 1 to 5."),
        (
            wtforms.SelectField("State", [Optional()], choices=STATES),
            "b",
            "Choose a value from the list.",
        ),
        (wtforms.SelectMultipleField("State", choices=STATES), "b", "Choose values from the list."),
        (wtforms.StringField("Id", [Regexp("^x$")]), "y", OTHER_ERROR),
        (wtforms.DateField("Day"), "x", OTHER_ERROR),
    ],
)
def test_error_says_what_to_enter(field: Any, value: str, error: str) -> None:
    form = type("Example", (Form,), {"name": field})(MultiDict([("name", value)]))
    assert not form.validate()
    assert form.errors == {"name": [error]}
