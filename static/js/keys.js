// Keyboard shortcuts and the palette. No key fires while typing, and the reader can switch all of them off.
"use strict";

const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
const ROWS = ".list tbody tr, .attention-item";
const palette = byId("palette");
const keysDialog = byId("keys");
let goesTo = 0;

const keysAreOn = document.documentElement.dataset.shortcuts !== "off";

function openKeys() {
  keysDialog.showModal();
}

/** Click the visible element of the page that has this key. */
function pressKey(key) {
  const element = [...document.querySelectorAll("[data-key]")].find(
    (candidate) => candidate.dataset.key === key && candidate.checkVisibility(),
  );
  element?.click();
  return Boolean(element);
}

function currentRow() {
  return document.activeElement.closest(ROWS);
}

const linkOf = (row) => row.querySelector("a.strong[href]") ?? row.querySelector("a[href]");

/** Focus the next or previous row of a list; on the page of an order, open the next or previous order. */
function move(step) {
  const rows = [...document.querySelectorAll(ROWS)].filter(linkOf);
  if (!rows.length) return pressKey(step > 0 ? "j" : "k");
  const index = rows.indexOf(currentRow());
  const row = rows[index < 0 ? 0 : Math.min(Math.max(index + step, 0), rows.length - 1)];
  linkOf(row).focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}

function selectRow() {
  const box = currentRow()?.querySelector("input[type=checkbox]");
  box?.click();
  return Boolean(box);
}

/** Choose a response. Nothing is sent: the review or the remark comes first. */
function choose(response) {
  const choice = document.querySelector(`main input[name=supplier_response][value=${response}]`);
  if (choice) {
    choice.click();
    const review = choice.form.querySelector("button[formaction$='/review']:not(.visually-hidden)");
    if (response !== "ACCEPT") choice.form.elements.supplier_remarks.focus();
    else if (review) review.click();
    else choice.form.querySelector(".btn-main").focus();
    return true;
  }
  const selection = document.querySelector("form#selection[action*='/orders/answers']");
  if (!selection) return false;
  if ([...selection.elements].some((box) => box.name === "order_ids" && box.checked)) {
    selection.requestSubmit();
  } else if (currentRow()) {
    location.href = `${linkOf(currentRow()).href}#${response.toLowerCase()}`;
  }
  return true;
}

function focusSearch() {
  const field = document.querySelector("main input[type=search]");
  if (field) field.select();
  else openPalette();
  field?.focus();
  return true;
}

const keys = {
  "j": () => move(1),
  "k": () => move(-1),
  "x": selectRow,
  "c": () => choose("ACCEPT"),
  "r": () => choose("REJECT"),
  "/": focusSearch,
  "?": openKeys,
  "g": () => { goesTo = Date.now(); },
};

function goTo(key) {
  const link = [...keysDialog.querySelectorAll("[data-go]")].find((page) => page.dataset.go === key);
  if (link) location.href = link.href;
}

document.addEventListener("keydown", (event) => {
  if (!palette || event.defaultPrevented || event.isComposing || event.altKey || !keysAreOn) return;
  if (document.querySelector("dialog[open]")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key !== "k" || event.shiftKey) return;
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.target.closest(TYPING)) return;
  const isSecond = Date.now() - goesTo < 1500;
  goesTo = 0;
  if (isSecond) {
    event.preventDefault();
    goTo(key);
  } else if (key in keys) {
    if (keys[key]() !== false) event.preventDefault();
  } else if (key.length === 1 && key !== " " && pressKey(key)) {
    event.preventDefault();
  }
});

// A response that was chosen in the list opens with the order.
if (["#accept", "#reject"].includes(location.hash)) {
  addEventListener("load", () => choose(location.hash.slice(1).toUpperCase()));
}

// --- The palette

const paletteField = palette?.querySelector("input");
let opensFirst = false;

function openPalette(event) {
  if (event?.ctrlKey || event?.metaKey || event?.shiftKey) return;
  event?.preventDefault();
  if (document.querySelector("main #search-results")) return focusSearch(); // this page is the search
  paletteField.value = "";
  byId("palette-list").replaceChildren();
  showActions();
  palette.showModal();
  htmx.trigger(paletteField, "open");
}

const labelOf = (element) => element.textContent.trim().replace(/\s+/g, " ");

/** What this page can do: respond to the order, each visible element with a key, and the list of keys. */
function actionsOfPage() {
  const responses = [...document.querySelectorAll("main input[name=supplier_response]")].map((input) => ({
    label: `${labelOf(input.parentElement)} this order`,
    key: { ACCEPT: "c", REJECT: "r" } [input.value],
    run: () => choose(input.value),
  }));
  const elements = [...document.querySelectorAll("main [data-key]")].filter((element) => element.checkVisibility());
  const keyed = elements.map((element) => ({
    label: labelOf(element),
    key: element.dataset.key,
    run: () => element.click(),
  }));
  return [...responses, ...keyed, { label: labelOf(byId("open-keys")), key: "?", run: openKeys }];
}

/** The actions of this page that match what is typed. */
function showActions() {
  const text = paletteField.value.trim().toLowerCase();
  const list = document.createElement("ul");
  for (const { label, key, run } of actionsOfPage()) {
    if (!label.toLowerCase().includes(text)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "search-result";
    button.textContent = label;
    if (key) {
      button.append(document.createElement("kbd"));
      button.lastChild.className = "end";
      button.lastChild.textContent = key.toUpperCase();
    }
    button.addEventListener("click", () => {
      palette.close();
      run();
    });
    list.append(document.createElement("li"));
    list.lastChild.append(button);
  }
  const heading = document.createElement("h2");
  heading.textContent = "Actions";
  byId("palette-actions").replaceChildren(...(list.childElementCount ? [heading, list] : []));
}

const paletteResults = () => [...palette.querySelectorAll("#palette-list a, #palette-actions button")].sort(
  (first, second) => first.compareDocumentPosition(second) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1,
);

/** Open the first result. While the results are for an earlier text, wait for the new ones. */
function openFirst() {
  const results = palette.querySelector("[data-query]");
  opensFirst = results?.dataset.query !== paletteField.value.trim();
  if (!opensFirst) paletteResults()[0]?.click();
}

paletteField?.addEventListener("input", showActions);
palette?.addEventListener("close", () => {
  opensFirst = false;
});
byId("palette-list")?.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!palette.open) detail.shouldSwap = false; // a late response must not open the palette again
});
byId("palette-list")?.addEventListener("htmx:afterSwap", () => {
  if (opensFirst) openFirst();
});

palette?.addEventListener("keydown", (event) => {
  const results = paletteResults();
  const index = results.indexOf(document.activeElement);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = index + (event.key === "ArrowDown" ? 1 : -1);
    (results[next] ?? (next < 0 ? paletteField : results[index]))?.focus();
  } else if (event.key === "Escape") {
    event.preventDefault(); // a search field would only clear its text
    palette.close();
  } else if (event.key === "Enter" && index < 0) {
    event.preventDefault();
    openFirst();
  } else if (event.key.length === 1 && index >= 0 && !event.ctrlKey && !event.metaKey && event.key !== " ") {
    paletteField.focus();
  }
});
