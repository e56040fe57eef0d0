// Response form, selections in lists, and forms that may be sent only once.
"use strict";

const DEFAULT_REMARK = "Confirmed";

/** Update a field's character counter. The server also counts a line break as one space. */
function updateCounter(field) {
  const counter = document.querySelector(`[data-counter-of="${field.id}"]`);
  const limit = Number(field.dataset.maxLength);
  const used = [...field.value.replace(/\s*[\r\n]+\s*/g, " ").trim()].length;
  const wasOver = counter.classList.contains("over");
  counter.textContent = `${used} of ${limit}`;
  counter.classList.toggle("over", used > limit);
  if (used > limit && !wasOver) announce(`Too long: the limit is ${limit} characters.`);
}

document.addEventListener("input", ({ target }) => {
  if (target.dataset.maxLength) updateCounter(target);
});

// An error goes away when its field is edited or filled; the server checks again. It replaces those of filters.
document.addEventListener("input", ({ target }) => {
  if (target.ariaInvalid !== "true" || target.closest("[data-filter]")) return;
  target.ariaInvalid = null;
  const ids = target.getAttribute("aria-describedby")?.split(" ") || [];
  const errors = ids.filter((id) => document.getElementById(id)?.classList.contains("field-error"));
  for (const id of errors) document.getElementById(id).remove();
  target.setAttribute("aria-describedby", ids.filter((id) => !errors.includes(id)).join(" "));
});

// A confirmation has a default remark; other responses need their own reason.
document.addEventListener("change", ({ target }) => {
  if (target.name !== "supplier_response") return;
  const remarks = target.form.elements.supplier_remarks;
  if (target.value === "ACCEPT" && !remarks.value.trim()) {
    remarks.value = DEFAULT_REMARK;
  } else if (target.value !== "ACCEPT" && remarks.value.trim() === DEFAULT_REMARK) {
    remarks.value = "";
  }
  updateCounter(remarks);
});

// Opening the lines moves the response to the whole width: keep it in view, wherever the page was scrolled.
document.addEventListener("toggle", ({ target }) => {
  if (!target.matches?.(".line-section[open]")) return;
  if (document.activeElement !== target.querySelector("summary")) return;
  target.scrollIntoView({ block: "start", behavior: "instant" });
}, true);

const markChange = (input) => input.classList.toggle("is-changed", input.value !== input.dataset.ordered);

document.addEventListener("input", ({ target }) => {
  if ("ordered" in target.dataset) markChange(target);
});

// A line as ordered or rejected has no other values: what was typed for a change is reset.
document.addEventListener("change", ({ target }) => {
  if (!/^lines-\d+-response$/.test(target.name) || target.value === "CHANGED") return;
  const row = target.closest(".line-row");
  for (const input of row.querySelectorAll("[data-ordered]")) {
    input.value = input.dataset.ordered;
    markChange(input);
  }
  for (const input of row.querySelectorAll(".line-split input")) input.value = "";
  if (target.value === "AS_ORDERED") row.querySelector("[name$=-remarks]").value = "";
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-add-split]");
  if (!button) return;
  const rows = button.parentElement.querySelectorAll(".line-split");
  const last = rows[rows.length - 1];
  if (rows.length >= 20) return;
  const row = last.cloneNode(true);
  row.querySelector("span").textContent = `Delivery ${rows.length + 1}`;
  for (const input of row.querySelectorAll("input")) {
    input.value = "";
    input.name = input.name.replace(/split-\d+/, `split-${rows.length}`);
    input.ariaLabel = input.ariaLabel.replace(/delivery \d+/, `delivery ${rows.length + 1}`);
  }
  last.after(row);
  row.querySelector("input").focus();
});

document.addEventListener("change", ({ target }) => {
  const form = target.form;
  if (form?.id !== "selection") return;
  const boxes = [...form.elements].filter((box) => ["order_ids", "ids"].includes(box.name));
  const selectAll = form.querySelector("[data-select-all]");
  if (target === selectAll) {
    for (const box of boxes) box.checked = selectAll.checked;
  }
  const selected = boxes.filter((box) => box.checked).length;
  selectAll.checked = selected === boxes.length;
  selectAll.indeterminate = selected > 0 && selected < boxes.length;
  const text = selected ? `${selected} selected` : "";
  form.querySelector("[data-selection-count]").textContent = text;
  const button = form.querySelector("button");
  button.classList.toggle("btn-main", selected > 0);
  button.classList.toggle("btn-plain", selected === 0);
  announce(text || "None selected");
});

// A double click sends a form once. The server also rejects the repetition.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !("submitOnce" in form.dataset)) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
