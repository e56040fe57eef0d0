"""The violations that axe reports for a page; other results take most of its time and are left out."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# All rules run on all elements, except the slow one for color contrast: it runs on text in a new style.
# A style is known by the window, and by the tags, attributes and states of the element and its ancestors.
RUN = """async ([options, checkedStyles]) => {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const noStyle = / (href|id|for|action|value|data-hx-\\w+)="[^"]*"|\\d/g;
  const hash = (text, start) => [...text].reduce(
    (sum, letter) => (sum * 31 + letter.codePointAt(0)) | 0, start);
  const styles = new Map([[null, hash(`${innerWidth} ${isDark}`, 7)]]);
  const checked = new Set(checkedStyles);
  const texts = [];
  for (const element of document.querySelectorAll("*")) {
    const tag = element.cloneNode(false).outerHTML.replace(noStyle, "");
    const states = [":hover", ":focus", ":checked", ":disabled"].map((state) => element.matches(state));
    const choices = [...(element.matches("form") ? element.elements : [])]
      .filter((field) => field.checked).map((field) => field.value);
    const style = hash(`${tag} ${states} ${choices}`, styles.get(element.parentElement));
    styles.set(element, style);
    const hasText = element.matches("input, select")
      || [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (hasText && !checked.has(style)) texts.push(element);
  }
  const onlyViolations = { resultTypes: ["violations"] };
  const noContrast = { rules: { "color-contrast": { enabled: false } } };
  const { violations } = await axe.run({ ...onlyViolations, ...noContrast, ...options });
  if (texts.length) {
    const contrast = { runOnly: { type: "rule", values: ["color-contrast"] } };
    violations.push(...(await axe.run({ include: texts }, { ...onlyViolations, ...contrast })).violations);
  }
  return [violations, texts.map((element) => styles.get(element))];
}"""
_checked_styles: set[int] = set()


def violations(page: Page, options: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every violation of axe's rules on the current page; ``options`` are those of ``axe.run``."""
    page.evaluate(AXE_SCRIPT)
    results, styles = page.evaluate(RUN, [options or {}, list(_checked_styles)])
    if not results:
        _checked_styles.update(styles)
    return list(results)
