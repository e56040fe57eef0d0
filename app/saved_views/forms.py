"""The forms of named views."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from app.saved_views.models import NAME_MAX
from app.ui.fields import folded


class NameForm(FlaskForm):
    """A view's name."""

    name = StringField(
        "Name", [DataRequired("Give the view a name."), Length(max=NAME_MAX)], filters=[folded]
    )


class KeepForm(NameForm):
    """A filter that is to be kept: the list, and the query of its address."""

    page = HiddenField("List")
    query = HiddenField("Filter", [Length(max=8000)])


class ForgetForm(FlaskForm):
    """A press and its token."""
