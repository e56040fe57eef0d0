"""The base classes of all forms, and the error messages of validators without a custom one."""

from __future__ import annotations

from typing import Any

import flask_wtf
import wtforms

OTHER_ERROR = "Enter a valid value."
ERROR_TEXTS = {
    "This field is required.": "Enter a value.",
    "Field must be at least %(min)d characters long.": "Enter at least %(min)d characters.",
    "Field cannot be longer than %(max)d character.": "Enter at most %(max)d character.",
    "Field cannot be longer than %(max)d characters.": "Enter at most %(max)d characters.",
    "Field must be between %(min)d and %(max)d characters long.": "Enter %(min)d to %(max)d characters.",
    "Number must be at least %(min)s.": "Enter a number of at least %(min)s.",
    "Number must be at most %(max)s.": "Enter a number of at most %(max)s.",
    "Number must be between %(min)s and %(max)s.": "Enter a number from %(min)s to %(max)s.",
    "Not a valid integer value.": "Enter a whole number, such as 4.",
    "Not a valid float value.": "Enter a number of seconds, such as 15 or 2.5.",
    "Not a valid choice.": "Choose a value from the list.",
    "'%(value)s' is not a valid choice for this field.": "Choose values from the list.",
    "'%(value)s' are not valid choices for this field.": "Choose values from the list.",
}
"""This app's text for each WTForms message that its forms can show; all others become ``OTHER_ERROR``."""


class _ErrorTexts:
    """The translations that WTForms asks for a text."""

    def gettext(self, text: str) -> str:
        return ERROR_TEXTS.get(text, OTHER_ERROR)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return self.gettext(singular if number == 1 else plural)


class Form(wtforms.Form):
    """A form without a CSRF token: a filter, or a part of another form."""

    class Meta:
        """Settings of WTForms."""

        def get_translations(self, _form: Any) -> _ErrorTexts:
            """Return the texts of errors."""
            return _ErrorTexts()


class FlaskForm(flask_wtf.FlaskForm):
    """A form that is posted, with a CSRF token."""

    class Meta(flask_wtf.FlaskForm.Meta):
        """Settings of WTForms and Flask-WTF."""

        def get_translations(self, _form: Any) -> _ErrorTexts:
            """Return the texts of errors."""
            return _ErrorTexts()
