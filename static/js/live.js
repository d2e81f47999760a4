// Regions that follow the server: a hint on the socket makes htmx read the region again. Without socket they poll.
(() => {
  const POLL_MS = 3000; // while the socket is down
  const REREAD_MS = 15000; // even while it is up: a lost hint must not stay unseen
  const LEAST_MS = 500; // between two reads of one region
  const MOST_WAIT_MS = 30000; // between two attempts to connect
  const sockets = new Map(); // url -> { socket, tries, timer, opened }
  const reads = new Map(); // region id -> { at, busy, dirty, timer }
  const versions = new Map(); // job id -> last version seen
  let stopped = false;
  let lost = false;

  const regions = () => [...document.querySelectorAll("[data-live-url]")];
  const isUp = (url) => sockets.get(url)?.socket?.readyState === WebSocket.OPEN;
  const stateOf = (id) => {
    if (!reads.has(id)) reads.set(id, { at: Date.now(), busy: false, dirty: false, timer: 0 });
    return reads.get(id);
  };

  // ---- what the top bar says ----
  let freshAt = new Date();
  const clock = (date) => date.toTimeString().slice(0, 8);
  const say = (failed) => {
    const place = document.getElementById("live");
    if (!place) return;
    const all = regions();
    place.hidden = !all.length;
    const up = all.every((region) => isUp(region.dataset.liveUrl));
    place.className = `live ${failed ? "is-bad" : up ? "is-ok" : "is-warn"}`;
    place.title = failed ? "Connection lost; it is tried again by itself" : up ? "Live by WebSocket" : "No WebSocket: read every 3 s";
    place.querySelector("[data-live-text]").textContent = `${failed ? "stale since" : "updated"} ${clock(freshAt)}`;
    if (failed !== lost) document.getElementById("announcer").textContent = failed ? "Connection lost" : "Connection is back";
    lost = failed;
  };

  // ---- reading a region again ----
  const isHeld = (region) =>
    region.querySelector("details[data-menu][open], dialog[open]") ||
    (region.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), textarea, select"));
  const keyOf = (node) => node.id || node.getAttribute("href") || node.getAttribute("name") || node.getAttribute("aria-label");
  const FOCUSABLE = "a[href], button, input, summary, [tabindex]";
  const remember = (region) => {
    const focused = region.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const checked = [...region.querySelectorAll("input[type=checkbox]:checked")].map((box) => `${box.name}=${box.value}`);
    const open = [...region.querySelectorAll("details[id][open]")].map((details) => details.id);
    const scrolled = [...region.querySelectorAll(".table-scroll, .log")].map((box) => [box.scrollLeft, box.scrollTop]);
    return (fresh) => {
      fresh.querySelectorAll("input[type=checkbox]").forEach((box) => { if (checked.includes(`${box.name}=${box.value}`)) box.checked = true; });
      fresh.querySelectorAll("details[id]").forEach((details) => { details.open ||= open.includes(details.id); });
      fresh.querySelectorAll(".table-scroll, .log").forEach((box, at) => scrolled[at] && box.scrollTo(...scrolled[at]));
      if (focused && !fresh.contains(document.activeElement)) {
        [...fresh.querySelectorAll(FOCUSABLE)].find((node) => keyOf(node) === focused)?.focus({ preventScroll: true });
      }
    };
  };
  const read = async (id) => {
    const region = document.getElementById(id);
    const state = stateOf(id);
    if (!region?.dataset.refreshUrl || stopped || isHeld(region)) return;
    state.busy = true;
    state.dirty = false;
    const url = region.dataset.refreshUrl;
    const restore = remember(region);
    let ok = false;
    const watch = (event) => { if (event.detail.pathInfo.requestPath === url) ok = event.detail.successful; };
    document.addEventListener("htmx:afterRequest", watch);
    try {
      await window.htmx.ajax("GET", url, { source: region, target: region, swap: "outerHTML" });
    } catch { ok = false; }
    document.removeEventListener("htmx:afterRequest", watch);
    state.busy = false;
    state.at = Date.now();
    if (ok) freshAt = new Date();
    const fresh = document.getElementById(id);
    if (ok && fresh && fresh !== region) restore(fresh);
    say(!ok);
    if (state.dirty) want(id);
  };
  const want = (id) => {
    const state = stateOf(id);
    state.dirty = true;
    if (state.busy || state.timer) return;
    state.timer = setTimeout(() => {
      state.timer = 0;
      read(id);
    }, Math.max(0, state.at + LEAST_MS - Date.now()));
  };

  // ---- sockets ----
  const onHint = (url, text) => {
    let hint;
    try { hint = JSON.parse(text); } catch { return; }
    if (hint.type === "job") {
      if (hint.version <= (versions.get(hint.id) ?? -1)) return;
      versions.set(hint.id, hint.version);
    }
    regions().forEach(({ id, dataset }) => {
      if (dataset.liveUrl !== url || (hint.type === "job" && dataset.liveId && dataset.liveId !== hint.id)) return;
      want(id);
    });
  };
  const connect = (url) => {
    const entry = sockets.get(url);
    if (!entry || stopped) return;
    const address = new URL(url, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    entry.socket = socket;
    socket.addEventListener("message", (event) => onHint(url, event.data));
    socket.addEventListener("open", () => {
      if (entry.tries) regions().filter((region) => region.dataset.liveUrl === url).forEach(({ id }) => want(id));
      entry.tries = 0;
      entry.opened = true;
      say(false);
    });
    socket.addEventListener("close", () => {
      if (entry.socket !== socket || sockets.get(url) !== entry || stopped) return;
      entry.tries += 1;
      // Further attempts that fail say nothing new: whether the page is stale is then up to the polls.
      if (entry.opened) say(true);
      entry.opened = false;
      const wait = Math.min(MOST_WAIT_MS, 500 * 2 ** entry.tries) * (0.75 + Math.random() / 2);
      entry.timer = setTimeout(() => connect(url), wait);
    });
  };
  const disconnect = (url) => {
    const entry = sockets.get(url);
    sockets.delete(url);
    clearTimeout(entry?.timer);
    entry?.socket?.close();
  };
  const sync = () => {
    const wanted = new Set(regions().map((region) => region.dataset.liveUrl));
    [...sockets.keys()].filter((url) => !wanted.has(url)).forEach(disconnect);
    wanted.forEach((url) => {
      if (sockets.has(url)) return;
      sockets.set(url, { socket: null, tries: 0, timer: 0, opened: false });
      connect(url);
    });
    const place = document.getElementById("live");
    if (place && !wanted.size) place.hidden = true;
  };
  const retryNow = () => {
    sockets.forEach((entry, url) => {
      if (!entry.socket || entry.socket.readyState !== WebSocket.CLOSED) return;
      clearTimeout(entry.timer);
      connect(url);
    });
    regions().forEach(({ id }) => want(id));
  };

  setInterval(() => {
    if (document.hidden || stopped) return;
    regions().forEach(({ id, dataset }) => {
      if (Date.now() - stateOf(id).at >= (isUp(dataset.liveUrl) ? REREAD_MS : POLL_MS)) want(id);
    });
  }, 1000);
  document.addEventListener("htmx:load", sync);
  addEventListener("online", retryNow);
  document.addEventListener("visibilitychange", () => !document.hidden && retryNow());
  // An open socket would keep the page out of the back/forward cache.
  addEventListener("pagehide", () => {
    stopped = true;
    [...sockets.keys()].forEach(disconnect);
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    stopped = false;
    sync();
    retryNow();
  });
  regions().forEach(({ id }) => stateOf(id));
  sync();
  say(false);
})();
