// Sorting and what else a table offers. Numbers are sorted by the first number in the cell, words by the alphabet;
// missing values come last in both directions.
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
for (const block of all(".block")) {
  const table = one("table", block);
  all("th", table.tHead).forEach((heading, place) => {
    heading.replaceChildren(button(heading.textContent, {}, () => sort(table, place)));
  });
  if (table.tBodies[0].rows.length > CAP + 10) {
    one(".controls", block).append(button("All rows", { class: "whole" }, () => { block.dataset.whole = ""; filter(block); }));
  }
  one(".filter", block)?.addEventListener("input", () => filter(block));
  one(".extra", block)?.addEventListener("click", (event) => {
    const compact = table.classList.toggle("compact");
    event.currentTarget.setAttribute("aria-pressed", !compact);
  });
  filter(block);
}

// The first link of a row is reached by Tab, the others and other rows from there by the arrow keys.
document.addEventListener("keydown", (event) => {
  const link = event.target.closest?.("tbody a[href^='#r']");
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!link || !steps || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...link.closest("tbody").rows].filter((row) => row.offsetParent);
  const linksOf = (row) => all("a", row).filter((each) => each.offsetParent);
  const row = link.closest("tr");
  const place = linksOf(row).indexOf(link);
  const goal = rows[rows.indexOf(row) + steps[0]];
  const next = goal && (steps[0] ? linksOf(goal)[Math.min(place, linksOf(goal).length - 1)] : linksOf(goal)[place + steps[1]]);
  if (!next) return;
  event.preventDefault();
  next.focus();
});
