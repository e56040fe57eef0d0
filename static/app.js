// What HTML and htmx leave open. Every page works without it.
"use strict";

const byId = (id) => document.getElementById(id);
const say = (words) => { byId("announcements").textContent = words; };

/* --- Where one is stands in sight, on a strip as well. */
document.querySelector(".sidebar-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/* --- The look: light, dark, or as the device has it. */
for (const radio of document.querySelectorAll("input[name=theme]")) {
  radio.checked = radio.value === theme.get();
  radio.addEventListener("change", () => theme.set(radio.value));
}

/* --- Times that stay true while the page stays open. The steps are those of app/shown/times.py. */
const skew = Date.parse(document.body.dataset.now) - Date.now();

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

const relative = {
  until: (left) => (left >= 0 ? `in ${span(Math.floor(left))}` : `${span(Math.floor(-left))} late`),
  next: (left) => (left >= 1 ? `in ${span(Math.floor(left))}` : "now"),
  ago: (left) => (left > -10 ? "just now" : `${span(Math.floor(-left))} ago`),
};

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const words = relative[time.dataset.relative]((Date.parse(time.dateTime) - now) / 1000);
    if (time.textContent !== words) time.textContent = words;
  }
}, 1000);

/* --- The counter under the remarks. Line breaks count as the server counts them: one space each. */
function count(field) {
  const counter = document.querySelector(`[data-counter-of="${field.id}"]`);
  const most = Number(field.dataset.maxLength);
  const used = [...field.value.replace(/\s*[\r\n]+\s*/g, " ").trim()].length;
  const wasOver = counter.classList.contains("over");
  counter.textContent = `${used} of ${most}`;
  counter.classList.toggle("over", used > most);
  if (used > most && !wasOver) say(`Too long: the network takes ${most} characters.`);
}

const CONFIRMED = "Confirmed";

document.addEventListener("input", ({ target }) => {
  if (target.dataset.maxLength) count(target);
});

/* --- Several orders at once: all of a page by one press, and how many it is. */
document.addEventListener("change", ({ target }) => {
  const form = target.form;
  if (form?.id !== "selection") return;
  const boxes = [...form.elements].filter((one) => ["order_ids", "ids"].includes(one.name));
  const all = form.querySelector("[data-select-all]");
  if (target === all) for (const box of boxes) box.checked = all.checked;
  const picked = boxes.filter((box) => box.checked).length;
  all.checked = picked === boxes.length;
  all.indeterminate = picked > 0 && picked < boxes.length;
  const words = picked ? `${picked} picked` : "";
  form.querySelector("[data-selection-count]").textContent = words;
  const button = form.querySelector("button");
  button.classList.toggle("btn-main", picked > 0);
  button.classList.toggle("btn-plain", picked === 0);
  say(words || "None picked");
});

document.addEventListener("change", ({ target }) => {
  if (target.name !== "supplier_response") return;
  const remarks = target.form.elements.supplier_remarks;
  if (target.value === "ACCEPT" && !remarks.value.trim()) remarks.value = CONFIRMED;
  else if (target.value !== "ACCEPT" && remarks.value.trim() === CONFIRMED) remarks.value = "";
  count(remarks);
});

/* --- Buttons that do something on the page itself. */
const presses = {
  print: () => print(),
  dismiss: (button) => button.closest(".toast-card").remove(),
  close(button, event) {
    const dialog = button.closest("dialog");
    const live = button.closest("[data-live]");
    if (!dialog && !live) return;
    event.preventDefault();
    dialog?.close();
    if (live) closePreview(live);
  },
  fill(button) {
    const field = document.querySelector(button.dataset.fill);
    field.value = button.textContent.trim();
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  },
  addRow(button) {
    const rows = button.closest("fieldset").querySelector("[data-rows]");
    const number = rows.children.length;
    if (number >= Number(rows.dataset.rows)) return say("There is no room for more rows.");
    const row = rows.lastElementChild.cloneNode(true);
    row.querySelector(".field-error")?.remove();
    for (const input of row.querySelectorAll("input")) {
      input.name = input.name.replace(/-\d+-/, `-${number}-`);
      input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, number + 1));
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
      input.removeAttribute("autofocus");
      input.removeAttribute("id");
      input.value = "";
    }
    rows.append(row);
    row.querySelector("input").focus();
  },
  locate(button) {
    const tell = (words) => { button.parentElement.querySelector("[data-located]").textContent = words; };
    if (!navigator.geolocation) return tell("This browser does not tell pages where it is. Nothing was changed.");
    tell("Asking where this device is …");
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        const { device_tag_name: name, device_tag_value: value } = button.form.elements;
        name.value = "GEOCODE";
        value.value = [coords.latitude, coords.longitude].map(degrees).join(",");
        value.dispatchEvent(new Event("input", { bubbles: true }));
        tell("The device tag is now this device’s location.");
      },
      (error) => tell(error.code === error.PERMISSION_DENIED
        ? "The browser was not allowed to tell. Nothing was changed."
        : "This device does not know where it is just now. Nothing was changed."),
      { timeout: 15000, maximumAge: 600000 },
    );
  },
  copy: (button) => copy(button, button.dataset.copy),
  async copyUrl(button) {
    try {
      const answer = await fetch(button.dataset.copyUrl, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.statusText);
      copy(button, await answer.text());
    } catch {
      say("It could not be fetched. Open it and copy it there.");
    }
  },
  copyFrom: (button) => copy(button, document.querySelector(button.dataset.copyFrom).textContent),
};

// Four decimals, as the network writes places; without a minus before nothing.
const degrees = (value) => (Number(value.toFixed(4)) + 0).toFixed(4);

function closePreview(live) {
  byId("preview").replaceChildren();
  live.closest("form").querySelector("[data-preview]").focus();
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without https: the old way.
    const carrier = document.createElement("textarea");
    carrier.value = text;
    (button.closest("dialog") ?? document.body).append(carrier);
    carrier.select();
    document.execCommand("copy");
    carrier.remove();
    button.focus();
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
  say("Copied.");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  for (const [name, press] of Object.entries(presses)) {
    if (button && name in button.dataset) return press(button, event);
  }
  if (event.target.matches("dialog")) event.target.close();
  const menu = document.querySelector(".account[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const menu = document.querySelector(".account[open]");
  if (event.key === "Escape" && menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

/* --- One press is one answer. The server knows that too. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !("submitOnce" in form.dataset)) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

/* --- htmx. */
const lastAnswers = new Map();
const lastSaid = new Map();

// Empty filters stay out of the address.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  const form = detail.elt.closest("[data-filter]");
  if (!form) return;
  const defaults = new URLSearchParams(form.dataset.filter);
  for (const [name, value] of [...detail.formData.entries()]) {
    if (value === "" || defaults.get(name) === value) detail.formData.delete(name);
  }
});

// The exact message follows what is typed only while it is shown.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if ("live" in part.dataset && !byId("preview").childElementCount) event.preventDefault();
});

// Where it cannot follow it goes, for it would no longer be true; what was typed stays, whatever happened.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (!("live" in elt.dataset) || [200, 409, 422].includes(xhr.status)) return;
  event.preventDefault();
  byId("preview").replaceChildren();
});

// Nobody looks, or somebody is typing in the part that would be replaced: ask later.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (!("poll" in part.dataset)) return;
  const fields = [...part.querySelectorAll("input:not([type=hidden]), textarea")];
  const typing = fields.some((field) => field === document.activeElement || field.value !== field.defaultValue);
  if (document.hidden || typing) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { xhr } = detail;
  if ("poll" in detail.requestConfig.elt.dataset) {
    // What is unchanged stays as it is: focus, selection, what was unfolded.
    const id = detail.requestConfig.elt.id;
    if (xhr.status >= 400 || lastAnswers.get(id) === xhr.responseText) detail.shouldSwap = false;
    lastAnswers.set(id, xhr.responseText);
    return;
  }
  if (xhr.status === 409 || xhr.status === 422) {
    // A refused form takes the place of the element whose id it bears, wherever it was sent from.
    const id = /^\s*<\w+[^>]*?\sid="([\w-]+)"/.exec(xhr.responseText)?.[1];
    const place = id && byId(id);
    if (place) Object.assign(detail, { target: place, swapOverride: "outerHTML" });
  }
  const dialog = document.querySelector("dialog[open]");
  if (dialog && !dialog.contains(detail.target)) dialog.close();
});

document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  for (const field of elt.querySelectorAll("[data-max-length]")) count(field);
  if (elt === document.body) return;
  const dialog = elt.closest("dialog");
  if (dialog && !dialog.open) dialog.showModal();
  const { here, say: words } = elt.dataset;
  if (words && lastSaid.get(elt.id) !== words) say(words);
  lastSaid.set(elt.id, words);
  if (here) {
    for (const link of document.querySelectorAll("[data-queue]")) {
      link.toggleAttribute("aria-current", link.dataset.queue === here);
      if (link.dataset.queue === here) link.setAttribute("aria-current", "page");
    }
  }
  if (elt.matches(".page-header")) document.title = `${elt.querySelector("h1").textContent.trim()} · PO Confirm`;
});

for (const event of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(event, ({ detail }) => {
    if ("live" in detail.elt.dataset) byId("preview").replaceChildren();
    const alerts = byId("alerts");
    if (!alerts.querySelector("[data-offline]")) alerts.replaceChildren(byId("offline").content.cloneNode(true));
  });
}
document.addEventListener("htmx:afterOnLoad", () => byId("alerts").querySelector("[data-offline]")?.remove());
