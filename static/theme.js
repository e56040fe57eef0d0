// Runs before anything is drawn, so that no page flashes in the wrong colours.
(function () {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function kept() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }
  function apply() {
    const choice = kept();
    root.dataset.bsTheme = choice === "light" || choice === "dark" ? choice : dark.matches ? "dark" : "light";
  }
  root.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", apply);
  window.theme = {
    get: () => kept() || "auto",
    set(choice) {
      try { choice === "auto" ? localStorage.removeItem("theme") : localStorage.setItem("theme", choice); } catch { /* not kept, then */ }
      apply();
      if (choice !== "auto") root.dataset.bsTheme = choice;
    },
  };
})();
