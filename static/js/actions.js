// Buttons that act on the page itself. The data attribute of a button names its action.
"use strict";

const actions = {
  print: () => print(),
  dismiss: (button) => button.closest(".toast-card").remove(),
  palette: (link, event) => openPalette(event),
  keysHelp: () => openKeys(),
  close: closeDialog,
  fill: fillField,
  addRow,
  locate: useLocation,
  copy: (button) => copyText(button, button.dataset.copy),
  copyUrl: copyFromUrl,
  copyFrom: (button) => copyText(button, document.querySelector(button.dataset.copyFrom).textContent),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  for (const [name, run] of Object.entries(actions)) {
    if (button && name in button.dataset) return run(button, event);
  }
  if (event.target.matches("dialog")) event.target.close();
});

function closeDialog(button, event) {
  const dialog = button.closest("dialog");
  const preview = button.closest("[data-live]");
  if (!dialog && !preview) return;
  event.preventDefault();
  dialog?.close();
  if (preview) {
    byId("preview").replaceChildren();
    preview.closest("form").querySelector("[data-preview]").focus();
  }
}

function fillField(button) {
  const field = document.querySelector(button.dataset.fill);
  field.value = button.textContent.trim();
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function addRow(button) {
  const rows = button.closest("fieldset").querySelector("[data-rows]");
  const number = rows.children.length;
  if (number >= Number(rows.dataset.rows)) return announce("You can't add more rows.");
  const row = rows.lastElementChild.cloneNode(true);
  row.querySelector(".field-error")?.remove();
  for (const input of row.querySelectorAll("input")) {
    input.name = input.name.replace(/-\d+-/, `-${number}-`);
    input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, number + 1));
    for (const name of ["aria-invalid", "aria-describedby", "autofocus", "id"]) input.removeAttribute(name);
    input.value = "";
  }
  rows.append(row);
  row.querySelector("input").focus();
}

function useLocation(button) {
  const report = (message) => {
    button.parentElement.querySelector("[data-located]").textContent = message;
  };
  if (!navigator.geolocation) return report("This browser can't share its location. Nothing was changed.");
  report("Getting this device's location…");
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      const { device_tag_name: name, device_tag_value: value } = button.form.elements;
      name.value = "GEOCODE";
      value.value = [coords.latitude, coords.longitude].map(formatDegrees).join(",");
      value.dispatchEvent(new Event("input", { bubbles: true }));
      report("The device tag is now this device's location.");
    },
    (error) => {
      const denied = error.code === error.PERMISSION_DENIED;
      report(denied ? "Location access was denied. Nothing was changed." :
        "The location isn't available right now. Nothing was changed.");
    }, { timeout: 15000, maximumAge: 600000 },
  );
}

/** Four decimals, as the network writes coordinates, and no minus before zero. */
function formatDegrees(value) {
  return (Number(value.toFixed(4)) + 0).toFixed(4);
}

async function copyFromUrl(button) {
  try {
    const response = await fetch(button.dataset.copyUrl, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.statusText);
    copyText(button, await response.text());
  } catch {
    announce("Couldn't load the text. Open it and copy it there.");
  }
}

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyWithoutClipboard(button, text);
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
  announce("Copied.");
}

/** Browsers offer no clipboard without HTTPS. */
function copyWithoutClipboard(button, text) {
  const field = document.createElement("textarea");
  field.value = text;
  (button.closest("dialog") ?? document.body).append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  button.focus();
}
