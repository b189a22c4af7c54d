// Records: the Runs behind a number; the one that was measured opens first.
const dialog = one("#record");
let offered = []; // the Runs to choose from in the dialog
function plotOf(part, columns) {
  const series = columns.map((column) => ({ name: part.head[column], points: pointsOf(part, column) }));
  return curves(series, `${series.map((each) => each.name).join(" and ")}; the table below has the numbers`);
}
function partOf(part) {
  const box = make("section", "", { class: part.rows.length > 14 ? "part long" : "part" });
  box.append(make("h3", part.title), ...part.plots.map((columns) => plotOf(part, columns)).filter(Boolean));
  box.append(textTable(part.title, part.head, part.rows));
  if (part.note) box.append(make("p", part.note, { class: "note" }));
  return box;
}
function showRecord(id) {
  if (!offered.includes(id)) offered = [id];
  one("#record-title").textContent = id;
  one("#record-title").classList.toggle("failed", data.runs[id].status === "failed");
  one(".choose").hidden = offered.length < 2;
  one(".choose").replaceChildren(...offered.map((each) => button(data.runs[each].label,
    { "data-run": each, "aria-pressed": each === id }, () => chooseRun(each))));
  one(".parts", dialog).replaceChildren(...partsOf(id).map(partOf));
  one(".scroller", dialog).scrollTop = 0;
  if (!dialog.open) dialog.showModal();
}
function chooseRun(id) {
  go({ run: id }, "replaceState");
  all(".choose button").find((each) => each.dataset.run === id)?.focus();
}
/** Shows a Run's record; `ids` are the Runs that can be chosen beside it. */
function openRecord(id, ids = [id]) {
  offered = ids;
  go({ run: id, compare: "" });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#r']");
  if (!link || !/^#r\d+$/.test(link.hash) || !data || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const row = link.closest("tr");
  openRecord(runIds[link.hash.slice(2)], row ? numbersOf(row).map((number) => runIds[number]) : undefined);
});
loaded.then(() => {
  const number = /^r(\d+)$/.exec(view.get("at") ?? ""); // a row's link, opened in another tab
  if (number && runIds[number[1]]) go({ run: runIds[number[1]], at: "" }, "replaceState");
  onView((params) => {
    if (isRun(params.get("run"))) showRecord(params.get("run"));
    else dialog.close();
  });
});
dialog.addEventListener("close", () => { if (view.has("run")) go({ run: "" }); });
