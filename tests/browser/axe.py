"""The violations that axe reports for a page; other results take most of its time and are left out."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page


def violations(page: Page, options: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every violation of axe's rules on the current page; ``options`` are those of ``axe.run``.

    All rules run on all elements. Passes are not collected, which saves most of the time.
    """
    page.evaluate(AXE_SCRIPT)
    results: list[dict[str, Any]] = page.evaluate(
        "options => axe.run(options).then(found => found.violations)",
        {"resultTypes": ["violations"], **(options or {})},
    )
    return results
