// Charts by keyboard: one tab stop per chart, and arrow keys between its steps.
"use strict";

function prepareCharts(root) {
  for (const chart of root.querySelectorAll("svg[role=group]")) {
    const slots = [...chart.querySelectorAll(".slot")];
    slots.forEach((slot, index) => slot.setAttribute("tabindex", index === slots.length - 1 ? "0" : "-1"));
  }
}

document.addEventListener("keydown", (event) => {
  const slot = event.target.closest?.(".slot");
  if (!slot) return;
  const slots = [...slot.parentNode.querySelectorAll(".slot")];
  const index = slots.indexOf(slot);
  const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: slots.length - 1 } [event.key];
  if (next === undefined) return;
  event.preventDefault();
  if (!slots[next]) return;
  slot.setAttribute("tabindex", "-1");
  slots[next].setAttribute("tabindex", "0");
  slots[next].focus();
});

prepareCharts(document);
document.addEventListener("htmx:load", ({ detail: { elt } }) => prepareCharts(elt));
