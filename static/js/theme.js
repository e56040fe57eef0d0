// Runs before the page is drawn, so that it never flashes in the wrong colors.
(function() {
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  function savedTheme() {
    try {
      return localStorage.getItem("theme") || root.dataset.theme;
    } catch {
      return root.dataset.theme; // storage is blocked
    }
  }

  function show(choice) {
    const system = systemIsDark.matches ? "dark" : "light";
    root.dataset.bsTheme = ["light", "dark"].includes(choice) ? choice : system;
  }

  root.classList.add("js");
  show(savedTheme());
  systemIsDark.addEventListener("change", () => show(savedTheme()));
  addEventListener("storage", () => show(savedTheme()));

  window.theme = {
    get: () => savedTheme(),
    set(choice) {
      try {
        localStorage.setItem("theme", choice);
      } catch {
        // Without storage the choice lasts as long as the page.
      }
      show(choice);
    },
    clear() {
      try {
        localStorage.removeItem("theme");
      } catch {
        // Without storage there is nothing to remove.
      }
    },
  };
})();
