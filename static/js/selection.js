// Ticked rows of a list: the bar with what can be done to all of them, "select all", and their number.
(() => {
  const bar = () => document.querySelector("[data-selection]");
  const boxes = () => [...document.querySelectorAll(`input[type=checkbox][name="${bar()?.dataset.selection}"]`)];
  const show = () => {
    if (!bar()) return;
    const all = boxes();
    const ticked = all.filter((box) => box.checked).length;
    bar().hidden = !ticked;
    bar().querySelector("[data-selection-count]").textContent = ticked.toLocaleString("en");
    const every = document.querySelector("[data-selection-all]");
    if (!every) return;
    every.checked = ticked > 0 && ticked === all.length;
    every.indeterminate = ticked > 0 && ticked < all.length;
  };
  const tick = (checked) => {
    boxes().forEach((box) => { box.checked = checked; });
    show();
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-selection-all]")) tick(event.target.checked);
    else if (bar() && event.target.name === bar().dataset.selection) show();
  });
  document.addEventListener("click", (event) => event.target.closest("[data-selection-clear]") && tick(false));
  document.addEventListener("htmx:afterSettle", show);
  addEventListener("pageshow", show);
})();
