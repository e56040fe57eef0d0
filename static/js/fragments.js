// What htmx requests send and how their responses are put into the page.
"use strict";

const lastResponses = new Map();
const lastAnnouncements = new Map();
const focusAtRequest = new WeakMap();
const partsWithFocus = new Set();

// Empty filters and default values stay out of the address.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  const form = detail.elt.closest("[data-filter]");
  if (!form) return;
  const defaults = new URLSearchParams(form.dataset.filter);
  for (const [name, value] of [...detail.formData.entries()]) {
    if (value === "" || defaults.get(name) === value) detail.formData.delete(name);
  }
});

// Polls do not keep a session alive.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if ("poll" in detail.elt.dataset) detail.headers["X-Poll"] = "1";
});

// The message preview follows the form only while it is open.
document.addEventListener("htmx:beforeRequest", (event) => {
  const element = event.detail.elt;
  if ("live" in element.dataset && !byId("preview").childElementCount) event.preventDefault();
});

// A preview that can't be updated is removed: it would be outdated. The form stays as it is.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (!("live" in elt.dataset) || [200, 409, 422].includes(xhr.status)) return;
  event.preventDefault();
  byId("preview").replaceChildren();
});

// Don't poll in a hidden tab, nor while the reader is typing in the part that would be replaced.
document.addEventListener("htmx:beforeRequest", (event) => {
  const element = event.detail.elt;
  if (!("poll" in element.dataset)) return;
  const fields = [...element.querySelectorAll("input:not([type=hidden]), textarea")];
  const typing = fields.some((field) => field === document.activeElement || field.value !== field.defaultValue);
  if (document.hidden || typing) event.preventDefault();
});

// A button may be disabled during its request, which takes its focus away.
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  focusAtRequest.set(detail.xhr, document.activeElement);
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { xhr } = detail;
  const source = detail.requestConfig.elt;
  if ("poll" in source.dataset) {
    // An unchanged part keeps its focus, its selection and what is unfolded.
    const unchanged = lastResponses.get(source.id) === xhr.responseText;
    if (xhr.status >= 400 || unchanged) detail.shouldSwap = false;
    lastResponses.set(source.id, xhr.responseText);
    return;
  }
  if (xhr.status === 409 || xhr.status === 422) {
    // A form with errors replaces the element that has its id.
    const id = /^\s*<\w+[^>]*?\sid="([\w-]+)"/.exec(xhr.responseText)?.[1];
    const target = id && byId(id);
    if (target) Object.assign(detail, { target, swapOverride: "outerHTML" });
  }
  // A form in a dialog was sent; other parts of the page may change while a dialog is open.
  const dialog = source.closest("dialog[open]");
  if (dialog && !dialog.contains(detail.target)) dialog.close();
});

// Runs after the listener above, which may choose another target.
document.addEventListener("htmx:beforeSwap", ({ detail: { shouldSwap, target, xhr } }) => {
  const active = document.activeElement;
  const focused = active === document.body ? focusAtRequest.get(xhr) : active;
  if (shouldSwap && target.contains(focused)) partsWithFocus.add(target.id);
});

/** A replaced part keeps the focus, unless the new content gave it to one of its elements. */
function keepFocus(part) {
  if (!partsWithFocus.delete(part.id) || document.activeElement !== document.body) return;
  part.tabIndex = -1;
  part.focus({ preventScroll: true });
}

document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  for (const field of elt.querySelectorAll("[data-max-length]")) updateCounter(field);
  if (elt === document.body) return;
  // Of the dialogs only the review opens with its content; the palette may have been closed a moment before.
  const review = elt.closest(".review-dialog");
  if (review && !review.open) {
    // The button lost the focus while it was disabled. It gets it back, and again when the dialog closes.
    document.querySelector("[data-hx-target='#review']").focus();
    review.showModal();
  }
  keepFocus(elt);
  announceOnce(elt.id, elt.dataset.announce);
  if (elt.dataset.activePage) markCurrentQueue(elt.dataset.activePage);
  if (elt.matches("label > .field-error")) {
    elt.parentElement.querySelector("input").ariaInvalid = elt.textContent ? "true" : null;
  }
  if (elt.matches(".page-header")) {
    document.title = `${elt.querySelector("h1").textContent.trim()} · PO Confirm`;
  }
});

function announceOnce(id, message) {
  if (message && lastAnnouncements.get(id) !== message) announce(message);
  lastAnnouncements.set(id, message);
}

function markCurrentQueue(name) {
  for (const link of document.querySelectorAll("[data-queue]")) {
    if (link.dataset.queue === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

for (const event of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(event, ({ detail }) => {
    if ("live" in detail.elt.dataset) byId("preview").replaceChildren();
    const alerts = byId("alerts");
    if (!alerts.querySelector("[data-offline]")) {
      alerts.replaceChildren(byId("offline").content.cloneNode(true));
    }
  });
}

document.addEventListener("htmx:afterOnLoad", () => byId("alerts").querySelector("[data-offline]")?.remove());
