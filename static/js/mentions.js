// Usernames while a comment is typed: after an @, the list below the field shows those that match.
"use strict";

const MENTION = /(?:^|[^\w@.])@([\w.@-]*)$/;

const mentionList = (field) => document.querySelector(field.dataset.mentions);

function typedMention(field) {
  return MENTION.exec(field.value.slice(0, field.selectionStart))?.[1].toLowerCase();
}

function visibleOptions(list) {
  return [...list.querySelectorAll("[data-mention]")].filter((option) => !option.parentElement.hidden);
}

function filterMentions(list, typed = "") {
  for (const option of list.querySelectorAll("[data-mention]")) {
    option.parentElement.hidden = !option.textContent.toLowerCase().includes(typed);
  }
  return visibleOptions(list).length;
}

document.addEventListener("input", ({ target }) => {
  if (!target.dataset.mentions) return;
  const list = mentionList(target);
  const typed = typedMention(target);
  const count = filterMentions(list, typed);
  const opens = typed !== undefined && count > 0;
  if (opens && !list.open) announce(`${count} usernames. Press the down arrow to choose one.`);
  list.open = opens;
});

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("[data-mentions]");
  if (field && event.key === "ArrowDown" && mentionList(field).open && typedMention(field) !== undefined) {
    event.preventDefault();
    visibleOptions(mentionList(field))[0]?.focus();
  }
  const option = event.target.closest("[data-mention]");
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 } [event.key];
  if (!option || !step) return;
  event.preventDefault();
  const list = option.closest("details");
  const options = visibleOptions(list);
  const next = options[options.indexOf(option) + step];
  (next ?? document.querySelector(`[data-mentions="#${list.id}"]`)).focus();
});

document.addEventListener("click", ({ target }) => {
  const option = target.closest("[data-mention]");
  if (!option) return;
  const list = option.closest("details");
  const field = document.querySelector(`[data-mentions="#${list.id}"]`);
  const before = field.value.slice(0, field.selectionStart);
  const typed = typedMention(field);
  const start = typed === undefined ? before.length : before.length - typed.length - 1;
  const space = start && typed === undefined && !/\s$/.test(before) ? " " : "";
  field.setRangeText(`${space}@${option.dataset.mention} `, start, field.selectionStart, "end");
  filterMentions(list);
  list.open = false;
  field.focus();
});
