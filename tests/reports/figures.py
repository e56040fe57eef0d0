"""What the pages of reports show."""

from __future__ import annotations

from typing import Any


def figures(page: Any) -> dict[str, str]:
    """The summary at the top of the page."""
    return {
        " ".join(figure.dt.get_text(" ").split()): " ".join(
            " ".join(value.get_text(" ").split()) for value in figure.find_all("dd")
        )
        for figure in page.page.select(".figures > div")
    }
