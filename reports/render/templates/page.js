
"use strict";
// Sorts and filters tables, zooms figures, and shows the records behind numbers. The page can be read without it.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text; // never HTML: names may contain anything
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
document.documentElement.classList.add("js");
all("[hidden].tools, [hidden].controls").forEach((node) => { node.hidden = false; });

// Light and dark: the system's choice until the reader's. A page from disk may have no storage.
const theme = one("#theme");
const remembered = { get: () => { try { return localStorage.getItem("fgbench-theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("fgbench-theme", value); } catch { /* the choice lasts as long as the page */ } } };
function paint(name) {
  if (name) document.documentElement.dataset.theme = name;
  const dark = name ? name === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme.setAttribute("aria-pressed", dark);
}
theme.addEventListener("click", () => {
  const name = theme.getAttribute("aria-pressed") === "true" ? "light" : "dark";
  remembered.set(name);
  paint(name);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(document.documentElement.dataset.theme));
paint(remembered.get());

// Sorting: numbers by the first number in the cell, words by the alphabet; missing values last in both directions.
const DASH = "–";
const collator = new Intl.Collator("en", { numeric: true });
const numberIn = (text) => parseFloat(text.replace(/^[<>≈\s]+/, "").replace("−", "-"));
function sort(table, place) {
  const heading = table.tHead.rows[0].cells[place];
  const numeric = heading.classList.contains("right");
  const before = heading.getAttribute("aria-sort");
  // The first click shows the highest number, but the first name.
  const order = before ? (before === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
  all("th", table.tHead).forEach((each) => each.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => {
    const text = row.cells[place].textContent;
    const value = numeric ? numberIn(text) : text;
    return { row, value, absent: text === DASH || text === "" || Number.isNaN(value) };
  });
  keyed.sort((a, b) => a.absent - b.absent
    || (a.absent ? 0 : sign * (numeric ? a.value - b.value : collator.compare(a.value, b.value))));
  body.append(...keyed.map((each) => each.row));
}

// Filtering: a row stays if it, with the heading above its table, has every word of the table's own filter and of the one
// for all tables.
const CAP = 40; // also in page.css
const texts = new WeakMap();
const headingOf = (row) => one("h4", row.closest(".block"))?.textContent ?? "";
const textOf = (row) => texts.get(row) ?? texts.set(row, `${row.textContent} ${headingOf(row)}`.toLowerCase()).get(row);
const wordsOf = (input) => (input ? input.value.toLowerCase().split(/\s+/).filter(Boolean) : []);
const everywhere = one("#filter-all");
function filter(block) {
  const table = one("table", block);
  const words = [...wordsOf(everywhere), ...wordsOf(one(".filter", block))];
  const rows = [...table.tBodies[0].rows];
  let kept = 0;
  for (const row of rows) {
    row.hidden = !words.every((word) => textOf(row).includes(word));
    kept += !row.hidden;
  }
  const capped = words.length === 0 && rows.length > CAP + 10 && !("whole" in block.dataset);
  table.classList.toggle("capped", capped);
  block.classList.toggle("no-match", kept === 0);
  const count = one(".count", block);
  count.textContent = capped ? `${CAP} of ${rows.length} rows` : words.length ? `${kept} of ${rows.length} rows` : "";
  one(".whole", block)?.toggleAttribute("hidden", !capped);
}
const blocks = all(".block");
for (const block of blocks) {
  const table = one("table", block);
  all("th", table.tHead).forEach((heading, place) => {
    const button = make("button", heading.textContent, { type: "button" });
    heading.replaceChildren(button);
    button.addEventListener("click", () => sort(table, place));
  });
  if (table.tBodies[0].rows.length > CAP + 10) {
    const whole = make("button", "All rows", { type: "button", class: "whole" });
    whole.addEventListener("click", () => { block.dataset.whole = ""; filter(block); });
    one(".controls", block).append(whole);
  }
  one(".filter", block)?.addEventListener("input", () => filter(block));
  one(".extra", block)?.addEventListener("click", (event) => {
    const compact = table.classList.toggle("compact");
    event.currentTarget.setAttribute("aria-pressed", !compact);
  });
  filter(block);
}
let waiting;
everywhere.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => blocks.forEach(filter), 120);
});

// Records: the Runs behind a number; the one that was measured opens first.
// They are compressed in the page. Where a browser can't unpack them, the links lead to the table of Runs.
async function unpacked(node) {
  const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}
let data;
const dialog = one("#record");
function plot(part, columns) {
  const svg = (tag, attributes, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return node;
  };
  const series = columns.map((column) => part.rows.map((row) => [Number(row[0]), Number(row[column])])
    .filter((point) => point.every(Number.isFinite)));
  const points = series.flat();
  if (points.length < 2) return null;
  const [width, height, top, left] = [360, 110, 18, 40];
  const range = (index) => { const values = points.map((point) => point[index]); return [Math.min(...values), Math.max(...values)]; };
  const [[x0, x1], [y0, y1]] = [range(0), range(1)];
  const x = (value) => left + (value - x0) / (x1 - x0 || 1) * (width - left - 4);
  const y = (value) => top + (y1 - value) / (y1 - y0 || 1) * (height - top - 18);
  const names = columns.map((column) => part.head[column]);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "img",
    "aria-label": `${names.join(" and ")} over epochs ${x0} to ${x1}; the table below has the numbers` });
  drawn.append(svg("line", { x1: left, x2: width - 4, y1: height - 14, y2: height - 14, class: "axis" }),
    svg("text", { x: left, y: 10 }, names.map((name, place) => `${place ? "- - " : "— "}${name}`).join("   ")),
    ...[[y1, y(y1) + 4], [y0, y(y0) + 2]].map(([value, at]) => svg("text", { x: left - 6, y: at, "text-anchor": "end" }, +value.toPrecision(3))),
    svg("text", { x: left, y: height - 2 }, `epoch ${x0}`), svg("text", { x: width - 4, y: height - 2, "text-anchor": "end" }, x1),
    ...series.map((each, place) => svg("polyline", { class: `line-${place}`, points: each.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") })));
  return drawn;
}
function partOf(part) {
  const box = make("section", "", { class: part.rows.length > 14 ? "part long" : "part" });
  box.append(make("h3", part.title));
  for (const columns of part.plots) {
    const drawn = plot(part, columns);
    if (drawn) box.append(drawn);
  }
  const table = make("table", "", part.head.length ? {} : { class: "pairs" });
  if (part.head.length) {
    const row = table.createTHead().insertRow();
    part.head.forEach((heading) => row.append(make(heading ? "th" : "td", heading, heading ? { scope: "col" } : {})));
  }
  const body = table.createTBody();
  for (const cells of part.rows) {
    const row = body.insertRow();
    cells.forEach((cell, place) => row.append(place ? make("td", cell) : make("th", cell, { scope: "row" })));
  }
  const scroll = make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": part.title });
  scroll.append(table);
  box.append(scroll);
  if (part.note) box.append(make("p", part.note, { class: "note" }));
  return box;
}
function showRun(id) {
  const run = data.runs[id];
  one("#record-title").textContent = id;
  one("#record-title").classList.toggle("failed", run.status === "failed");
  all(".choose button").forEach((button) => button.setAttribute("aria-pressed", button.dataset.run === id));
  one(".parts", dialog).replaceChildren(...run.parts.map((place) => partOf(data.parts[place])));
  one(".scroller", dialog).scrollTop = 0;
  history.replaceState(null, "", `#run-${encodeURIComponent(id)}`);
}
function openRecord(id, ids) {
  one(".choose").replaceChildren(...ids.map((each) => {
    const button = make("button", data.runs[each].label, { type: "button", "data-run": each });
    button.addEventListener("click", () => showRun(each));
    return button;
  }));
  one(".choose").hidden = ids.length < 2;
  showRun(id);
  dialog.showModal();
}
const runIn = (hash) => { try { return decodeURIComponent(hash).replace(/^#run-/, ""); } catch { return ""; } };
unpacked(one("#data")).then((records) => {
  data = records;
  const ids = []; // by the numbers that the tables' links name, which are shorter
  for (const [id, run] of Object.entries(data.runs)) ids[run.number] = id;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("tr a[href^='#r']");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    openRecord(ids[link.hash.slice(2)], link.closest("tr").dataset.runs.split(" ").map((number) => ids[number]));
  });
  if (Object.hasOwn(data.runs, runIn(location.hash))) openRecord(runIn(location.hash), [runIn(location.hash)]);
});
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));

// Figures: fitted to the window first, then larger with scrolling.
const zoom = one("#zoom");
const canvas = one(".canvas", zoom);
let scale = 1;
function scaleTo(value) {
  scale = Math.min(8, Math.max(1, value));
  const image = one("img", canvas);
  image.style.width = image.style.height = `${100 * scale}%`;
  canvas.classList.toggle("wide", scale > 1);
}
const zooms = { in: () => scaleTo(1.5 * scale), out: () => scaleTo(scale / 1.5), fit: () => scaleTo(1) };
all("button.zoom").forEach((button) => button.addEventListener("click", () => {
  const image = one("img", button);
  one("#zoom-title").textContent = image.alt;
  one("img", canvas).src = image.src;
  one("img", canvas).alt = image.alt;
  scaleTo(1);
  zoom.showModal();
}));
all("[data-zoom]", zoom).forEach((button) => button.addEventListener("click", () => zooms[button.dataset.zoom]()));
canvas.addEventListener("click", () => scaleTo(scale > 1 ? 1 : 2));
zoom.addEventListener("keydown", (event) => {
  const action = { "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key];
  if (action) zooms[action]();
});
all("dialog").forEach((each) => {
  one(".close", each).addEventListener("click", () => each.close());
  each.addEventListener("click", (event) => { if (event.target === each) each.close(); });
});
addEventListener("beforeprint", () => all("details").forEach((node) => { node.open = true; }));
