"""The violations that axe reports for a page; other results take most of its time and are left out."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Color contrast is slow, so it is checked once for text of each style, and apart from the other rules.
# A style is known by the window, and by the tags, attributes and states of the element and its ancestors.
RUN = """async ([options, checkedStyles, parts]) => {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const noStyle = / (href|id|for|action|value|data-hx-\\w+)="[^"]*"|\\d/g;
  const hash = (text, start) => [...text].reduce(
    (sum, letter) => (sum * 31 + letter.codePointAt(0)) | 0, start);
  const styleOf = new Map([[null, hash(`${innerWidth} ${isDark}`, 7)]]);
  const checked = new Set(checkedStyles);
  const texts = new Map();
  for (const element of parts.contrast ? document.querySelectorAll("*") : []) {
    const tag = element.cloneNode(false).outerHTML.replace(noStyle, "");
    const states = [":hover", ":focus", ":checked", ":disabled"].map((state) => element.matches(state));
    const choices = [...(element.matches("form") ? element.elements : [])]
      .filter((field) => field.checked).map((field) => field.value);
    const style = hash(`${tag} ${states} ${choices}`, styleOf.get(element.parentElement));
    styleOf.set(element, style);
    const hasText = element.matches("input, select")
      || [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (hasText && !checked.has(style) && !texts.has(style) && element.checkVisibility()) {
      texts.set(style, element);
    }
  }
  const onlyViolations = { resultTypes: ["violations"] };
  const violations = [];
  if (texts.size) {
    const contrast = { runOnly: { type: "rule", values: ["color-contrast"] } };
    const include = [...texts.values()];
    violations.push(...(await axe.run({ include }, { ...onlyViolations, ...contrast })).violations);
  }
  if (parts.structure) {
    const noContrast = { rules: { "color-contrast": { enabled: false } } };
    violations.push(...(await axe.run({ ...onlyViolations, ...noContrast, ...options })).violations);
  }
  return [violations, [...texts.keys()]];
}"""
_checked_styles: set[int] = set()


def violations(
    page: Page, options: dict[str, Any] | None = None, *, contrast: bool = True, structure: bool = True
) -> list[dict[str, Any]]:
    """Every violation on the current page of the contrast rule and of axe's other rules.

    ``options`` are those of ``axe.run``.
    """
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    parts = {"contrast": contrast, "structure": structure}
    results, styles = page.evaluate(RUN, [options or {}, list(_checked_styles), parts])
    if not results:
        _checked_styles.update(styles)
    return list(results)
