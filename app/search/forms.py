"""The query of the search."""

from __future__ import annotations

from wtforms import SearchField
from wtforms.validators import Length, Optional

from app.ui.forms import Form


class SearchForm(Form):
    """The query of ``GET /search``."""

    q = SearchField("Search", [Optional(), Length(max=200)])
