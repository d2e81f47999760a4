// Theme (system, light, dark) and the phone menu. Loaded in <head>, so that the theme is set before the first paint.
(() => {
  const root = document.documentElement;
  const stored = () => {
    // Storage throws where cookies are blocked.
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    document.querySelectorAll("[data-set-theme]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === (theme || "system")));
    });
  };
  const choose = (theme) => {
    try { localStorage.setItem("theme", theme); } catch { /* kept for this page only */ }
    apply(theme);
    document.dispatchEvent(new CustomEvent("themechange"));
  };
  const setNav = (open) => {
    const button = document.querySelector("[data-toggle-nav]");
    const nav = document.getElementById("nav");
    if (!nav || !button || nav.classList.contains("is-open") === open) return;
    nav.classList.toggle("is-open", open);
    button.setAttribute("aria-expanded", String(open));
    (open ? nav.querySelector("summary, a") : button)?.focus();
  };

  apply(stored());
  addEventListener("storage", (event) => event.key === "theme" && apply(event.newValue));
  document.addEventListener("DOMContentLoaded", () => {
    apply(stored());
    if (matchMedia("(max-width: 760px)").matches) {
      document.querySelectorAll("details[data-fold]").forEach((fold) => fold.removeAttribute("open"));
    }
  });
  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-set-theme]");
    if (theme) choose(theme.dataset.setTheme);
    const nav = document.getElementById("nav");
    if (event.target.closest("[data-toggle-nav]")) setNav(!nav.classList.contains("is-open"));
    else if (nav && !nav.contains(event.target)) setNav(false);
  });
  document.addEventListener("keydown", (event) => {
    // A menu in the navigation closes first.
    if (event.key === "Escape" && !document.querySelector("details[data-menu][open]")) setNav(false);
  });
})();
