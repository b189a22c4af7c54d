// Filtering: a row stays if it, with the heading above its table, has every word of the table's own filter and of the one
// for all tables, and for each facet (method, backbone, …) one of the chosen values.
const CAP = 40; // also in page.css
const facets = all(".facet");
const everywhere = one("#filter-all");
let texts = new WeakMap();
let wanted = []; // [facet, its chosen values] of the facets in which something is chosen
let pause;

const headingOf = (row) => one("h4", row.closest(".block"))?.textContent ?? "";
/** What people see in a row and above its table, and what its Runs are called in settings and files. */
function textOf(row) {
  if (!texts.has(row)) {
    const names = new Set(numbersOf(row).flatMap((number) => Object.values(runs[number]?.of ?? {})));
    texts.set(row, [row.textContent, headingOf(row), ...names].join(" ").toLowerCase());
  }
  return texts.get(row);
}
const boxesOf = (facet) => all("input", facet);
/** A row's values of a facet: those of its Runs; without Runs, its cell in that column. Null if it has none. */
function valuesOf(row, facet) {
  const { key } = facet.dataset;
  const known = numbersOf(row).map((number) => runs[number]?.of[key]).filter(Boolean);
  if (known.length) return known;
  const place = all("th", row.closest("table").tHead).findIndex((heading) => heading.dataset.key === key);
  const text = place < 0 ? DASH : row.cells[place].textContent;
  return text === DASH ? null : [boxesOf(facet).find((box) => box.dataset.label === text)?.value ?? text];
}
function isWanted(row) {
  return wanted.every(([facet, values]) => valuesOf(row, facet)?.some((value) => values.has(value)) ?? true);
}
function filter(block) {
  const table = one("table", block);
  const words = `${everywhere.value} ${one(".filter", block)?.value ?? ""}`.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  let kept = 0;
  for (const row of rows) {
    row.hidden = !(words.every((word) => textOf(row).includes(word)) && isWanted(row));
    kept += !row.hidden;
  }
  const filtered = words.length > 0 || kept < rows.length;
  const capped = !filtered && rows.length > CAP + 10 && !("whole" in block.dataset);
  table.classList.toggle("capped", capped);
  block.classList.toggle("no-match", kept === 0);
  one(".count", block).textContent = capped ? `${CAP} of ${rows.length} rows` : filtered ? `${kept} of ${rows.length} rows` : "";
  one(".whole", block)?.toggleAttribute("hidden", !capped);
}
const filterAll = () => all(".block").forEach(filter);

// The filters of all tables are in the address. What it names but the page does not have is ignored.
function chooseFacets(params) {
  wanted = [];
  for (const facet of facets) {
    const values = new Set(params.getAll(facet.dataset.key));
    const boxes = boxesOf(facet).filter((box) => { box.checked = values.has(box.value); return box.checked; });
    if (boxes.length) wanted.push([facet, new Set(boxes.map((box) => box.value))]);
    one(".chosen", facet).textContent = boxes.length === 1 ? `: ${boxes[0].dataset.label}` : boxes.length ? `: ${boxes.length}` : "";
    facet.classList.toggle("active", boxes.length > 0);
  }
}
let filteredBy = null;
onView((params) => {
  const words = params.get("find") ?? "";
  const by = JSON.stringify([words, ...facets.map((facet) => params.getAll(facet.dataset.key))]);
  if (by === filteredBy) return; // a record was opened, or the like
  filteredBy = by;
  if (everywhere.value.trim() !== words) everywhere.value = words; // not while someone types
  chooseFacets(params);
  one("#clear").hidden = !words && !wanted.length;
  filterAll();
});
loaded.then(() => {
  texts = new WeakMap();
  if (wanted.length || everywhere.value) filterAll();
});
everywhere.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(() => go({ find: everywhere.value.trim() }, "replaceState"), 120);
});
for (const facet of facets) {
  facet.addEventListener("change", () => {
    go({ [facet.dataset.key]: boxesOf(facet).filter((box) => box.checked).map((box) => box.value) });
  });
  facet.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    facet.open = false;
    one("summary", facet).focus();
  });
}
one("#clear").addEventListener("click", () => {
  go({ find: "", ...Object.fromEntries(facets.map((facet) => [facet.dataset.key, []])) });
  everywhere.focus(); // the button is gone
});
document.addEventListener("click", (event) => {
  facets.forEach((facet) => { if (!facet.contains(event.target)) facet.open = false; });
});
