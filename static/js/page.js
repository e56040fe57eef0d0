// Helpers of all scripts, and what every page does. Every page works without JavaScript.
"use strict";

const byId = (id) => document.getElementById(id);

/** Tell screen readers, without moving the focus. */
function announce(message) {
  byId("announcements").textContent = message;
}

// Keep the current queue and tab in view where they scroll: in a row in the middle, in a column as it is if it
// can be seen. `scrollIntoView` would also make it the place from which the first Tab starts, behind the skip link.
for (const strip of document.querySelectorAll(".sidebar-nav, .tabs")) {
  const current = strip.querySelector("[aria-current]");
  if (current) {
    const [outer, inner] = [strip.getBoundingClientRect(), current.getBoundingClientRect()];
    strip.scrollBy(
      inner.left - outer.left - (outer.width - inner.width) / 2,
      Math.max(inner.bottom - outer.bottom, 0) + Math.min(inner.top - outer.top, 0),
    );
  }
}

for (const radio of document.querySelectorAll("input[name=theme]")) {
  radio.checked = radio.value === theme.get();
  radio.addEventListener("change", () => theme.set(radio.value));
}

// The account page sets the theme of all browsers, so the choice of this one ends.
document.querySelector("form[action='/account']")?.addEventListener("submit", () => theme.clear());

// "Save view" opens a form with one field.
document.addEventListener("toggle", ({ target }) => {
  if (target.matches(".save-view[open]")) target.querySelector("[name=name]").focus();
}, true);

// Menus close on a click elsewhere and on Escape.
const openMenus = () => document.querySelectorAll(":is(.account, .list-menu, .export)[open]");

document.addEventListener("click", ({ target }) => {
  for (const menu of openMenus()) {
    if (!menu.contains(target)) menu.open = false;
  }
});

document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
