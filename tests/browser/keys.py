"""Keys of the keyboard, pressed when the page can react to them."""

from __future__ import annotations

from playwright.sync_api import Page


def press(page: Page, *keys: str) -> None:
    """Press keys one after the other; a page has no shortcuts before its scripts have loaded."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)
