"""The violations that axe reports for a page; other results take most of its time and are left out."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

# Color contrast is slow, so it is checked once for text of each style: its own color and size, and the
# backgrounds of its ancestors. What has a position of its own may be above other backgrounds, so its classes
# count too. Axe is less strict with disabled controls and with single letters.
RUN = """async ([rules, knownStyles]) => {
  const disabled = ":disabled, [aria-disabled=true]";
  const backgrounds = new Map([[null, ""]]);
  const styles = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter].join(" ");
    const place = /static|relative/.test(style.position) ? "" : element.className + style.position;
    const isPlain = own === "rgba(0, 0, 0, 0) none 1 none" && !place;
    const behind = (backgrounds.get(element.parentElement) ?? "") + (isPlain ? "" : `/${own} ${place}`);
    backgrounds.set(element, behind);
    const text = element.matches("input, select") ? element.value : [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()).join("");
    if (!text || !element.checkVisibility()) continue;
    const isDisabled = element.closest(disabled) || element.closest("label")?.control?.closest(disabled);
    const font = [style.color, style.fontSize, style.fontWeight, style.textShadow];
    styles.set([...font, Boolean(isDisabled), text.length > 1, behind].join(" "), element);
  }
  knownStyles.forEach((key) => styles.delete(key));
  const mark = "data-new-style";
  styles.forEach((element) => element.setAttribute(mark, ""));
  axe.configure({ rules: [{ id: "color-contrast", selector: `[${mark}]` }] });
  const enabled = { "target-size": { enabled: true }, "color-contrast": { enabled: styles.size > 0 } };
  const contrast = styles.size ? ["color-contrast"] : [];
  const options = rules ? { runOnly: [...rules, ...contrast] } : { rules: enabled };
  const { violations } = await axe.run({ preload: false, resultTypes: ["violations"], ...options });
  styles.forEach((element) => element.removeAttribute(mark));
  return [violations, [...styles.keys()]];
}"""
LAYOUT_RULES = ["target-size", "scrollable-region-focusable"]
"""The rules that depend on the width."""
_known_styles: set[str] = set()


def violations(page: Page, rules: list[str] | None = None) -> list[dict[str, Any]]:
    """Every violation on the current page of color contrast, and of these rules or of all."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    results, styles = page.evaluate(RUN, [rules, list(_known_styles)])
    if not results:
        _known_styles.update(styles)
    return list(results)


def assert_accessible(page: Page, name: str) -> None:
    """Assert no violation and no sideways scroll: dark and narrow, light and wide."""
    # What a request is about to replace is dimmed on purpose.
    expect(page.locator(".htmx-request")).to_have_count(0)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert_fits(page, name, 390)
    assert_fits(page, name, 320)
    problems = violations(page, LAYOUT_RULES)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert_fits(page, name, 1280)
    problems += violations(page)
    assert not problems, f"{name}: " + "; ".join(
        f"{problem['id']}: {[node['html'][:120] for node in problem['nodes'][:3]]}" for problem in problems
    )


def assert_fits(page: Page, name: str, width: int) -> None:
    """Assert that the page does not scroll sideways in a window of this width in CSS pixels."""
    page.set_viewport_size({"width": width, "height": 800})
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{name} is {wider} px too wide for {width} px"
