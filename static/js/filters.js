// The filter box: suggests keys, then values with counts; tokens are hidden fields "f", so that the URL holds all of it.
(() => {
  const WAIT_MS = 150;
  const HINT = '<kbd>↑↓</kbd> move <kbd>Tab</kbd> accept <kbd>Enter</kbd> apply <kbd>Esc</kbd> close';
  let options = []; // { text, count, apply }
  let active = -1;
  let timer = 0;
  let asking = null;

  const node = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const formOf = (input) => input.closest("[data-filter-bar]");
  const fieldsOf = (form) => {
    try {
      return JSON.parse(form.dataset.fields || "[]").map((field) => (typeof field === "string" ? { key: field } : field));
    } catch { return []; }
  };
  const tokenTexts = (form) => [...form.querySelectorAll('[data-token] input[name="f"]')].map((input) => input.value);

  // The piece at the end of the text: a key being typed, or a key and the start of its value, perhaps in quotes.
  const pieceOf = (text) => {
    const value = /(?:^|\s)(-?)([^\s:"]+):(?:"([^"]*)"?|(\S*))$/.exec(text);
    if (value) return { start: value.index, minus: value[1], key: value[2], value: value[3] ?? value[4] };
    const key = /(?:^|\s)(-?)([^\s:"]*)$/.exec(text);
    return key ? { start: key.index, minus: key[1], key: key[2], value: null } : null;
  };

  // ---- the list ----
  const listOf = (input) => {
    const box = input.parentElement;
    let list = box.querySelector(".suggestions");
    if (list) return list;
    list = node("ul", { className: "suggestions", id: `${input.id || "filter"}-list`, hidden: true });
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Suggestions");
    box.append(list);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", list.id);
    return list;
  };
  const close = (input) => {
    options = [];
    active = -1;
    listOf(input).hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (input, at) => {
    active = at;
    listOf(input).querySelectorAll("[role=option]").forEach((item, index) => {
      item.setAttribute("aria-selected", String(index === at));
      if (index === at) item.scrollIntoView({ block: "nearest" });
    });
    if (at >= 0) input.setAttribute("aria-activedescendant", `${listOf(input).id}-${at}`);
    else input.removeAttribute("aria-activedescendant");
  };
  const show = (input, found, note = "") => {
    options = found;
    const list = listOf(input);
    list.replaceChildren(...found.map((option, at) => {
      const text = node("span", { className: "truncate" }, option.text);
      const count = node("span", { className: "push faint" }, option.count ?? "");
      const item = node("li", { id: `${list.id}-${at}` }, text, count);
      item.setAttribute("role", "option");
      // Not "click": the box would lose the focus first.
      item.addEventListener("mousedown", (event) => { event.preventDefault(); option.apply(); });
      return item;
    }));
    const hint = node("li", { className: "hint" });
    hint.setAttribute("role", "presentation");
    if (note) hint.textContent = note;
    else hint.innerHTML = HINT;
    list.append(hint);
    list.hidden = !found.length && !note;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(input, -1);
  };

  // ---- tokens ----
  const addToken = (form, text) => {
    if (tokenTexts(form).includes(text)) return;
    const colon = text.indexOf(":");
    const key = node("b", {}, text.slice(0, colon + 1));
    const field = node("input", { type: "hidden", name: "f", value: text });
    const remove = node("button", { type: "button", className: "token-remove" }, "×");
    remove.setAttribute("aria-label", `Remove filter ${text}`);
    const token = node("span", { className: "token" }, key, text.slice(colon + 1), field, remove);
    token.dataset.token = "";
    form.querySelector(".filter-input").before(token);
  };
  const apply = (form) => form.requestSubmit();
  const acceptValue = (input, piece, value) => {
    addToken(formOf(input), `${piece.minus}${piece.key}:${value}`);
    input.value = input.value.slice(0, piece.start).trim();
    close(input);
    apply(formOf(input));
  };

  // ---- suggestions ----
  const suggestKeys = (input, piece) => {
    const typed = piece.key.toLowerCase();
    const found = fieldsOf(formOf(input)).filter((field) => field.key.toLowerCase().includes(typed)).slice(0, 12);
    show(input, found.map((field) => ({
      text: `${piece.minus}${field.key}:`,
      count: field.hint,
      apply: () => {
        const before = input.value.slice(0, piece.start);
        input.value = `${before}${before ? " " : ""}${piece.minus}${field.key}:`;
        suggest(input);
      },
    })));
  };
  const showValues = (input, piece, values) => {
    const options = values.slice(0, 12).map(({ value, count }) => ({
      text: String(value),
      count: typeof count === "number" ? count.toLocaleString("en") : count,
      apply: () => acceptValue(input, piece, String(value)),
    }));
    show(input, options, options.length ? "" : "No value starts like this. Enter applies what you typed.");
  };
  const askValues = async (input, piece, form) => {
    const url = new URL(form.dataset.facetUrl, location.href);
    url.searchParams.set("field", piece.key);
    url.searchParams.set("prefix", piece.value);
    tokenTexts(form).forEach((text) => url.searchParams.append("f", text));
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(url, { signal: asking.signal, headers: { Accept: "application/json" } });
      const body = await answer.json();
      if (body.message || !answer.ok) show(input, [], body.message || "Values cannot be read at the moment.");
      else if (document.activeElement === input) showValues(input, piece, body.values || []);
    } catch (error) {
      if (error.name !== "AbortError") show(input, [], "Values cannot be read at the moment; you can type one.");
    }
  };
  const suggest = (input) => {
    clearTimeout(timer);
    const form = formOf(input);
    const piece = pieceOf(input.value);
    if (!piece) return close(input);
    if (piece.value === null) return suggestKeys(input, piece);
    const field = fieldsOf(form).find(({ key }) => key === piece.key);
    if (!field) return close(input);
    if (field.values) {
      const typed = piece.value.toLowerCase();
      const values = field.values.map((value) => (value && typeof value === "object" ? value : { value }));
      return showValues(input, piece, values.filter(({ value }) => String(value).toLowerCase().includes(typed)));
    }
    if (form.dataset.facetUrl) timer = setTimeout(() => askValues(input, piece, form), WAIT_MS);
    return null;
  };

  // ---- events ----
  const isBox = (target) => target.matches?.("[data-filter-input]") && formOf(target);
  // A swap gives the focus back to the box: the list must not cover what was just asked for.
  let swapping = false;
  document.addEventListener("htmx:beforeSwap", () => { swapping = true; setTimeout(() => { swapping = false; }); });
  document.addEventListener("focusin", (event) => !swapping && isBox(event.target) && suggest(event.target));
  document.addEventListener("input", (event) => isBox(event.target) && suggest(event.target));
  document.addEventListener("focusout", (event) => isBox(event.target) && close(event.target));
  const onEnter = (event, input) => {
    const piece = pieceOf(input.value);
    const known = piece?.value && fieldsOf(formOf(input)).some(({ key }) => key === piece.key);
    if (active >= 0) options[active].apply();
    else if (known) acceptValue(input, piece, piece.value);
    else return close(input); // free text: the form is sent as it is
    return event.preventDefault();
  };
  document.addEventListener("keydown", (event) => {
    const input = event.target;
    if (!isBox(input)) return;
    if (event.key === "Enter") onEnter(event, input);
    else if (event.key === "ArrowDown" && !options.length) { event.preventDefault(); suggest(input); }
    else if (event.key === "ArrowDown") { event.preventDefault(); mark(input, (active + 1) % options.length); }
    else if (event.key === "ArrowUp" && options.length) { event.preventDefault(); mark(input, active <= 0 ? options.length - 1 : active - 1); }
    else if (event.key === "Tab" && !event.shiftKey && options.length && input.value) { event.preventDefault(); options[Math.max(active, 0)].apply(); }
    else if (event.key === "Escape" && !listOf(input).hidden) { event.preventDefault(); close(input); }
    else if (event.key === "Backspace" && !input.value) {
      const tokens = formOf(input).querySelectorAll("[data-token]");
      if (!tokens.length) return;
      tokens[tokens.length - 1].remove();
      apply(formOf(input));
    }
  });
  document.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-filter-bar] .token-remove");
    if (!remove) return;
    event.preventDefault();
    const form = formOf(remove);
    remove.closest("[data-token]").remove();
    apply(form);
    form.querySelector("[data-filter-input]").focus();
  });
})();
