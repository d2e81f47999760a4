// Typing a name to confirm, files dropped on a form, upload progress, and forms sent twice.
(() => {
  // ---- confirm by name ----
  const buttonOf = (input) =>
    (input.dataset.confirmButton && document.querySelector(input.dataset.confirmButton)) || input.form?.querySelector("[type=submit]") ||
    input.closest("dialog")?.querySelector("[type=submit]");
  const checkName = (input) => {
    const wanted = [...input.dataset.confirmName];
    const typed = [...input.value];
    const right = typed.every((letter, at) => letter === wanted[at]);
    const left = wanted.length - typed.length;
    buttonOf(input).disabled = !(right && left === 0);
    const hint = input.closest(".field").querySelector("[data-confirm-hint]");
    if (!hint || (!typed.length && hint.classList.contains("field-error"))) return;
    hint.className = right ? "field-hint" : "field-error";
    if (!right) hint.textContent = "This differs from the name.";
    else hint.textContent = left ? `${left} ${left === 1 ? "letter" : "letters"} to go` : "The name is complete.";
  };

  // ---- dropzone ----
  const readable = (bytes) => {
    for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
      if (bytes >= size) return `${(bytes / size).toFixed(bytes / size < 10 ? 1 : 0)} ${unit}`;
    }
    return `${bytes} B`;
  };
  const refusal = (zone, files) => {
    const most = Number(zone.dataset.maxBytes) || Infinity;
    const mostFiles = Number(zone.dataset.maxFiles) || Infinity;
    const allowed = (zone.dataset.accept || "").toLowerCase().split(",").map((part) => part.trim()).filter(Boolean);
    if (files.length > mostFiles) return `At most ${mostFiles} files at once; these are ${files.length}.`;
    for (const file of files) {
      if (file.size > most) return `${file.name} has ${readable(file.size)}; at most ${readable(most)} are accepted.`;
      if (file.size === 0) return `${file.name} is empty.`;
      if (allowed.length && !allowed.some((end) => file.name.toLowerCase().endsWith(end))) {
        return `${file.name} is of another kind; accepted are ${allowed.join(", ")}.`;
      }
    }
    return "";
  };
  const lineFor = (zone, name) => {
    const made = zone.querySelector(`[data-${name}]`) || document.createElement("p");
    if (!made.isConnected) {
      made.setAttribute(`data-${name}`, "");
      zone.append(made);
    }
    return made;
  };
  const showFiles = (zone) => {
    const input = zone.querySelector("input[type=file]");
    const files = [...input.files];
    const problem = refusal(zone, files);
    input.setCustomValidity(problem);
    input.toggleAttribute("aria-invalid", Boolean(problem));
    if (problem) input.setAttribute("aria-invalid", "true");
    const list = lineFor(zone, "dropzone-files");
    list.className = "dropzone-files";
    const total = files.reduce((sum, file) => sum + file.size, 0);
    list.textContent = files.length === 1 ? `${files[0].name} · ${readable(total)}` : files.length ? `${files.length} files · ${readable(total)}` : "";
    const error = lineFor(zone, "dropzone-error");
    error.className = "field-error";
    error.setAttribute("role", "alert");
    error.textContent = problem;
    zone.classList.toggle("is-bad", Boolean(problem));
    zone.classList.toggle("is-filled", files.length > 0 && !problem);
  };
  const zoneOf = (event) => event.target.closest?.("[data-dropzone]");
  ["dragenter", "dragover"].forEach((name) => document.addEventListener(name, (event) => {
    const zone = zoneOf(event);
    if (!zone || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("is-over");
  }));
  document.addEventListener("dragleave", (event) => {
    const zone = zoneOf(event);
    if (zone && !zone.contains(event.relatedTarget)) zone.classList.remove("is-over");
  });
  document.addEventListener("drop", (event) => {
    const zone = zoneOf(event);
    if (!zone || !event.dataTransfer.files.length) return;
    event.preventDefault();
    zone.classList.remove("is-over");
    const input = zone.querySelector("input[type=file]");
    const data = new DataTransfer();
    [...event.dataTransfer.files].slice(0, input.multiple ? undefined : 1).forEach((file) => data.items.add(file));
    input.files = data.files; // does not fire "change"
    showFiles(zone);
  });

  // ---- upload progress ----
  document.addEventListener("htmx:configRequest", (event) => {
    // The time limit of htmx holds for the whole upload, however slow the line is.
    if (event.target.querySelector?.("input[type=file]")) event.detail.timeout = 0;
  });
  document.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.querySelector?.("[data-upload-progress]");
    // Answers report progress too, without a known length.
    if (!bar || !event.detail.lengthComputable || !event.target.querySelector("input[type=file]")) return;
    bar.hidden = false;
    bar.max = event.detail.total;
    bar.value = event.detail.loaded;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const bar = event.target.querySelector?.("[data-upload-progress]");
    if (bar) bar.hidden = true;
  });

  // ---- one submit at a time (plain forms; htmx has hx-disabled-elt) ----
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const refused = form.querySelector("[data-dropzone].is-bad");
    if (refused) {
      event.preventDefault();
      event.stopImmediatePropagation();
      refused.querySelector("input[type=file]").focus();
      return;
    }
    if (event.defaultPrevented || form.method !== "post" || form.closest("[hx-post], [data-hx-post]")) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  }, true);
  // The back button may bring a page out of the cache as it was left.
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  document.addEventListener("input", (event) => event.target.matches?.("[data-confirm-name]") && checkName(event.target));
  document.addEventListener("change", (event) => event.target.matches?.("[data-dropzone] input[type=file]") && showFiles(zoneOf(event)));
  const prepare = (root) => {
    root.querySelectorAll?.("[data-confirm-name]").forEach(checkName);
    if (root.matches?.("[data-confirm-name]")) checkName(root);
  };
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
  prepare(document);
})();
