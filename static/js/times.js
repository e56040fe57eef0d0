// Relative times that stay current while the page is open. app/ui/times.py has the same steps.
"use strict";

const clockSkew = Date.parse(document.body.dataset.now) - Date.now();

function shortDuration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

const relativeTime = {
  until: (left) => left >= 0 ? `in ${shortDuration(Math.floor(left))}` : `${shortDuration(Math.floor(-left))} overdue`,
  next: (left) => left >= 1 ? `in ${shortDuration(Math.floor(left))}` : "now",
  ago: (left) => left > -10 ? "just now" : `${shortDuration(Math.floor(-left))} ago`,
};

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now() + clockSkew;
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relativeTime[time.dataset.relative]((Date.parse(time.dateTime) - now) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);
