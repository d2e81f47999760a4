// Toasts, copy buttons, relative times, and what happens when an htmx request fails.
(() => {
  const TOAST_MS = 8000;
  const KINDS = { ok: "is-ok", success: "is-ok", warn: "is-warn", warning: "is-warn", bad: "is-bad", error: "is-bad" };
  const say = (text) => { document.getElementById("announcer").textContent = text; };

  // ---- toasts ----
  const csrfToken = () => {
    try { return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"]; } catch { return ""; }
  };
  const element = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    made.append(...children);
    return made;
  };
  const button = (label, extra = {}) => element("button", { class: "button is-small", type: "button", ...extra }, label);
  const actionOf = (action) => {
    if (action.run) {
      const made = button(action.label, { "data-toast-close": "" });
      made.addEventListener("click", action.run);
      return made;
    }
    if (action.method !== "post") return element("a", { class: "button is-small", href: action.url }, action.label);
    const token = element("input", { type: "hidden", name: "csrfmiddlewaretoken", value: csrfToken() });
    return element("form", { method: "post", action: action.url }, token, button(action.label, { type: "submit" }));
  };
  const expire = (toast) => {
    // Errors stay until they are closed; a toast under the pointer or the focus is being read.
    if (toast.classList.contains("is-bad") || toast.dataset.timed) return;
    toast.dataset.timed = "1";
    const later = () => setTimeout(() => (toast.matches(":hover, :focus-within") ? later() : toast.remove()), TOAST_MS);
    later();
  };
  const toast = ({ kind = "run", text, action, key }) => {
    const list = document.getElementById("toasts");
    if (!list || !text) return;
    if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.remove();
    const close = button("×", { class: "button is-icon is-quiet is-small", "data-toast-close": "", "aria-label": "Close" });
    const made = element("div", { class: `toast ${KINDS[kind] || "is-run"}`, "data-toast": "" }, element("span", { class: "dot" }), element("span", {}, String(text).slice(0, 600)));
    if (key) made.dataset.key = key;
    if (action) made.append(actionOf(action));
    made.append(close);
    list.append(made);
    expire(made);
  };
  const expireAll = () => document.querySelectorAll("[data-toast]").forEach(expire);
  window.consoleToast = toast;
  document.addEventListener("toast", (event) => toast(event.detail)); // the HX-Trigger header
  document.addEventListener("htmx:oobAfterSwap", expireAll);

  // ---- copying ----
  const copyText = async (text) => {
    // Plain http on another host has no clipboard API.
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = element("textarea", { readonly: "", class: "visually-hidden" });
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copying is not allowed");
  };
  const copied = (source) => {
    source.classList.add("is-copied");
    setTimeout(() => source.classList.remove("is-copied"), 1500);
    say("Copied");
  };
  document.addEventListener("click", (event) => {
    event.target.closest("[data-toast-close]")?.closest("[data-toast]")?.remove();
    const source = event.target.closest("[data-copy], [data-copy-from], [data-copy-link]");
    if (!source) return;
    event.preventDefault();
    const from = source.dataset.copyFrom && document.querySelector(source.dataset.copyFrom);
    const text = from ? from.value ?? from.textContent : source.dataset.copy ?? location.href;
    copyText(text).then(() => copied(source), () => toast({ kind: "warn", text: "The browser does not allow copying here." }));
  });

  // ---- relative times ----
  const coarse = (seconds) => {
    for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
    return `${Math.floor(seconds)} s`;
  };
  const tick = () => {
    if (document.hidden) return;
    document.querySelectorAll("time[data-ago], time[data-elapsed]").forEach((time) => {
      const seconds = (Date.now() - new Date(time.dateTime)) / 1000;
      if (seconds < 1 || seconds >= 30 * 86400) return;
      const text = coarse(seconds) + ("ago" in time.dataset ? " ago" : "");
      if (time.textContent !== text) time.textContent = text;
    });
  };
  setInterval(tick, 10000);

  // ---- htmx ----
  const isFragment = (xhr) => xhr.getResponseHeader("X-Fragment") === "1";
  const messageOf = (xhr) => {
    const type = xhr.getResponseHeader("Content-Type") || "";
    const fallback = `The server answered ${xhr.status}.`;
    if (type.includes("json")) {
      try { const body = JSON.parse(xhr.response); return body.message || body.detail || fallback; } catch { return fallback; }
    }
    if (type.includes("text/plain")) return xhr.response.slice(0, 300) || fallback;
    const page = new DOMParser().parseFromString(xhr.response, "text/html");
    return page.querySelector("[data-error-message]")?.textContent.replace(/\s+/g, " ").trim() || fallback;
  };
  const again = (detail) => () => {
    const { elt, target, requestConfig } = detail;
    if (requestConfig.verb === "get") window.htmx.ajax("GET", requestConfig.path, { source: elt, target, values: requestConfig.parameters });
    else if (elt instanceof HTMLFormElement) elt.requestSubmit();
    else elt.click();
  };
  const failed = (event, text) => {
    const { elt } = event.detail;
    if (elt.matches("[data-quiet], [data-live-url]")) {
      if (elt.id === "health") elt.querySelector(".health-item")?.classList.replace("is-ok", "is-bad");
      return;
    }
    toast({ kind: "bad", text, key: text, action: { label: "Try again", run: again(event.detail) } });
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status >= 400 && isFragment(xhr)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
      return;
    }
    // A session that ended: the sign-in page must not land inside a fragment.
    const login = document.body.dataset.loginUrl;
    if (login && xhr.responseURL && new URL(xhr.responseURL).pathname === login) {
      event.detail.shouldSwap = false;
      const url = `${login}?next=${encodeURIComponent(location.pathname + location.search)}`;
      toast({ kind: "warn", key: "signed-out", text: "You were signed out.", action: { label: "Sign in", url } });
    }
  });
  document.addEventListener("htmx:responseError", (event) => failed(event, messageOf(event.detail.xhr)));
  document.addEventListener("htmx:sendError", (event) => failed(event, "The console does not answer. Is the connection up?"));
  document.addEventListener("htmx:timeout", (event) => failed(event, "The console did not answer in time."));
  document.addEventListener("htmx:beforeRequest", (event) => {
    // Polls of a page nobody looks at are left out; the next one comes by itself.
    if (document.hidden && event.detail.elt.matches("[data-quiet]")) event.preventDefault();
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "get" || !event.detail.elt.matches("form")) return;
    for (const [name, value] of [...event.detail.formData.entries()]) if (value === "") event.detail.formData.delete(name);
  });
  expireAll();
})();
