"""The style guide shows every component in every state."""

from __future__ import annotations

import pytest

from tests.people import Browser

pytestmark = pytest.mark.sqlite


def test_style_guide_shows_every_state_to_the_administrator(
    asha: Browser, ravi: Browser, admin: Browser
) -> None:
    assert asha.get("/look").status_code == ravi.get("/look").status_code == 403
    page = admin.get("/look")
    assert page.status_code == 200
    for tone in ("waiting", "ok", "warn", "bad", "refused", "ink", "quiet"):
        assert page.page.select(f".state.{tone}"), tone
    assert page.page.select(".state-text.refused")
    for words in ("Refused", "Unmatched", "Timed out", "₹12,34,567.50", "Nothing matches"):
        assert words in page.visible_text
    assert len(page.page.select("svg.illustration")) == 4
