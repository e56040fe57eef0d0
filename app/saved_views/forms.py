"""Forms to save, rename and delete a view."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from app.saved_views.models import NAME_MAX
from app.ui.fields import folded


class NameForm(FlaskForm):
    """The name of a view."""

    name = StringField("Name", [DataRequired("Enter a name."), Length(max=NAME_MAX)], filters=[folded])


class SaveForm(NameForm):
    """A view to save: the list and the query of its URL."""

    page = HiddenField("List")
    query = HiddenField("Filter", [Length(max=8000)])


class DeleteForm(FlaskForm):
    """The CSRF token only."""
