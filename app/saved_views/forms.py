"""Forms to save, change and delete a view, and for the columns of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wtforms import BooleanField, HiddenField, RadioField, SelectMultipleField, StringField
from wtforms.validators import DataRequired, Length

from app.accounts.presenters import DENSITIES
from app.saved_views.models import NAME_MAX
from app.ui.fields import choices, folded
from app.ui.forms import FlaskForm


class ViewForm(FlaskForm):
    """The name of a view, and whether the team sees it."""

    name = StringField("Name", [DataRequired("Enter a name."), Length(max=NAME_MAX)], filters=[folded])
    is_shared = BooleanField("Share with your team")


class SaveForm(ViewForm):
    """A view to save: the list and the query of its URL."""

    page = HiddenField("List")
    query = HiddenField("Filter", [Length(max=8000)])


class ColumnsForm(FlaskForm):
    """The columns and the density of a list; unknown columns are invalid."""

    columns = SelectMultipleField("Columns")
    density = RadioField("Density", choices=choices(DENSITIES.items()))
    query = HiddenField("Filter", [Length(max=8000)])
    reset = StringField("Reset")

    def __init__(self, names: Sequence[str], **more: Any) -> None:
        super().__init__(**more)
        self.columns.choices = choices((name, name) for name in names)
