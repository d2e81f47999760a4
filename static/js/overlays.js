// Menus, dialogs, the drawer, and the keys that move through a page. All of it works as plain links without this file.
(() => {
  const typing = (target) => target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  const openMenus = () => document.querySelectorAll("details[data-menu][open]");
  const entries = (menu) => [...menu.querySelectorAll(".menu a[href], .menu button:not(:disabled)")];
  let opener = null;

  const closeMenu = (menu, refocus) => {
    menu.open = false;
    if (refocus) menu.querySelector("summary").focus();
  };
  const moveInMenu = (menu, key) => {
    const all = entries(menu);
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[key];
    all.at(to >= all.length ? 0 : to)?.focus();
  };
  // "toggle" does not bubble.
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches?.("details[data-menu]") || !event.target.open) return;
    openMenus().forEach((menu) => menu !== event.target && closeMenu(menu, false));
    if (event.target.closest(".table-scroll")) lift(event.target);
  }, true);
  // A table that scrolls would cut the menus of its rows off: they lie over the page instead, while nothing scrolls.
  const lift = (menu) => {
    const list = menu.querySelector(".menu");
    const button = menu.getBoundingClientRect();
    list.style.position = "fixed";
    const below = button.bottom + 4 + list.offsetHeight <= innerHeight;
    list.style.inset = below ? `${button.bottom + 4}px auto auto auto` : `auto auto ${innerHeight - button.top + 4}px auto`;
    list.style.left = `${Math.max(8, button.right - list.offsetWidth)}px`;
  };
  document.addEventListener("scroll", (event) => {
    if (event.target.closest?.(".menu")) return;
    openMenus().forEach((menu) => menu.closest(".table-scroll") && closeMenu(menu, false));
  }, true);

  // ---- dialogs ----
  const showDialog = (dialog) => {
    if (!dialog || dialog.matches(":modal")) return;
    opener = document.activeElement;
    dialog.open = false; // without script it is rendered open
    dialog.showModal();
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    const { target } = event.detail;
    if (target.id === "dialog-slot") showDialog(target.querySelector("dialog"));
    if (target.id === "drawer-slot") {
      opener = event.detail.requestConfig?.elt ?? opener;
      target.querySelector(".drawer")?.focus({ preventScroll: true });
    }
  });
  // An answer that replaces the dialog by an outerHTML swap of itself or of its form.
  document.addEventListener("htmx:load", (event) => {
    const dialog = event.detail.elt.matches?.("#dialog-slot > dialog") ? event.detail.elt : null;
    if (dialog) showDialog(dialog);
  });
  document.addEventListener("close", (event) => {
    if (!event.target.matches?.("dialog")) return;
    if (event.target.parentElement?.id === "dialog-slot") event.target.remove();
    if (opener?.isConnected) opener.focus();
  }, true);

  // ---- drawer ----
  const selectRow = (link) => {
    document.querySelectorAll("[data-item].is-selected").forEach((row) => row.classList.remove("is-selected"));
    link?.closest("[data-item]")?.classList.add("is-selected");
  };
  const closeDrawer = (closer) => {
    const slot = closer.closest("#drawer-slot");
    if (!slot) return false;
    slot.replaceChildren();
    selectRow(null);
    const href = closer.getAttribute("href");
    if (href) history.replaceState(history.state, "", href);
    if (opener?.isConnected) opener.focus();
    return true;
  };

  document.addEventListener("click", (event) => {
    openMenus().forEach((menu) => {
      if (!menu.contains(event.target) || event.target.closest(".menu a, .menu [data-dialog]")) closeMenu(menu, false);
    });
    const asked = event.target.closest("[data-dialog]");
    if (asked && document.querySelector(asked.dataset.dialog)) {
      event.preventDefault();
      showDialog(document.querySelector(asked.dataset.dialog));
    }
    const dialog = event.target.closest("dialog");
    if (dialog && (event.target.closest("[data-dialog-close]") || event.target === dialog)) {
      event.preventDefault();
      dialog.close();
    }
    const closer = event.target.closest("[data-drawer-close]");
    if (closer && closeDrawer(closer)) event.preventDefault();
    const link = event.target.closest("[hx-target='#drawer-slot']");
    if (link) selectRow(link);
  });

  // ---- keys ----
  const focusFilter = () => {
    const box = document.querySelector("main [data-filter-input], main input[type=search]");
    box?.focus();
    box?.select();
    return box;
  };
  const items = () => [...document.querySelectorAll("[data-list] [data-item]")];
  const step = (direction) => {
    const rows = items();
    const current = document.activeElement.closest?.("[data-item]") || document.querySelector("[data-item].is-selected");
    const at = rows.indexOf(current);
    const row = rows[Math.min(rows.length - 1, Math.max(0, at + direction))];
    const link = row?.querySelector("a[href]");
    link?.focus();
    row?.scrollIntoView({ block: "nearest" });
    // With the drawer open, moving through the list reads on.
    if (link?.getAttribute("hx-target") === "#drawer-slot" && document.querySelector("#drawer-slot .drawer")) link.click();
    return row;
  };
  const tickRow = () => {
    const box = document.activeElement.closest?.("[data-item]")?.querySelector("input[type=checkbox]");
    box?.click();
    return box;
  };
  const KEYS = {
    "/": focusFilter,
    s: () => { const box = document.querySelector("[data-quick-search]"); if (!box?.offsetParent) return null; box.focus(); return box; },
    j: () => step(1),
    k: () => step(-1),
    x: tickRow,
    "?": () => { const dialog = document.getElementById("shortcuts"); showDialog(dialog); return dialog; },
  };
  const onEscape = (event) => {
    const menu = openMenus()[0];
    if (menu) return closeMenu(menu, true);
    if (document.querySelector("dialog:modal") || event.defaultPrevented) return null;
    if (typing(event.target)) return event.target.blur();
    return document.querySelector("#drawer-slot [data-drawer-close], .split > .drawer [data-drawer-close]")?.click();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return onEscape(event);
    const menu = event.target.closest?.("details[data-menu]");
    if (menu && ["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      menu.open = true;
      return moveInMenu(menu, event.key);
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return null;
    if (document.querySelector("dialog:modal")) return null;
    if (KEYS[event.key]?.()) event.preventDefault();
    return null;
  });
})();
