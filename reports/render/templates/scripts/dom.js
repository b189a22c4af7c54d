// Helpers for the page's elements. All scripts are joined into one; the page can be read without it.
const DASH = "–"; // a missing value
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text; // never HTML: names may contain anything
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
function button(text, attributes, onClick) {
  const node = make("button", text, { type: "button", ...attributes });
  node.addEventListener("click", onClick);
  return node;
}
/** A table of text in a box that scrolls; the first cell of each row names it. */
function textTable(title, head, rows) {
  const table = make("table", "", head.length ? {} : { class: "pairs" });
  if (head.length) {
    const row = table.createTHead().insertRow();
    head.forEach((heading) => row.append(make(heading ? "th" : "td", heading, heading ? { scope: "col" } : {})));
  }
  const body = table.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    cells.forEach((cell, place) => row.append(place ? make("td", cell) : make("th", cell, { scope: "row" })));
  }
  const scroll = make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": title });
  scroll.append(table);
  return scroll;
}
document.documentElement.classList.add("js");
all("[hidden].tools, [hidden].controls").forEach((node) => { node.hidden = false; });
addEventListener("beforeprint", () => all("main details").forEach((node) => { node.open = true; }));
