// Pictures by keyboard: one stop for each, and the arrows go from step to step. Without it every step is a stop.
"use strict";

const prepare = (root) => {
  for (const chart of root.querySelectorAll("svg[role=group]")) {
    const slots = [...chart.querySelectorAll(".slot")];
    slots.forEach((slot, place) => slot.setAttribute("tabindex", place === slots.length - 1 ? "0" : "-1"));
  }
};

document.addEventListener("keydown", (event) => {
  const slot = event.target.closest?.(".slot");
  if (!slot) return;
  const slots = [...slot.parentNode.querySelectorAll(".slot")];
  const place = slots.indexOf(slot);
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: slots.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const target = slots[next];
  if (!target) return;
  slot.setAttribute("tabindex", "-1");
  target.setAttribute("tabindex", "0");
  target.focus();
});

prepare(document);
document.addEventListener("htmx:load", ({ detail: { elt } }) => prepare(elt));
