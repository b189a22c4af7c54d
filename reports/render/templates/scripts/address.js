// The view is in the address, so that a copied address shows the same: "#method=sef&find=cars", "#run=…", "#compare=…,…".
// Each change of the view is an entry of the browser's history. Scripts watch the view; whoever changes it calls `go`.
const MODAL = ["run", "compare"]; // at most one is open
const watchers = [];
let view = new URLSearchParams();
function onView(watch) {
  watchers.push(watch);
  watch(view);
}
function addressOf(params) {
  const [first, second] = params;
  // A place in the page alone keeps the form that the browser knows.
  if (first?.[0] === "at" && !second) return `#${encodeURIComponent(first[1])}`;
  const text = params.toString().replaceAll("%2C", ",");
  return text && `#${text}`;
}
function viewIn(hash) {
  const text = hash.slice(1);
  if (text.includes("=")) return new URLSearchParams(text);
  const next = new URLSearchParams(view); // a link to a place in the page keeps the filters
  ["at", ...MODAL].forEach((key) => next.delete(key));
  try {
    const name = decodeURIComponent(text);
    if (name.startsWith("run-")) next.set("run", name.slice(4)); // as reports of version 0.1 had it
    else if (name) next.set("at", name);
  } catch { /* no name of anything */ }
  return next;
}
function show(next) {
  view = next;
  watchers.forEach((watch) => watch(view));
}
function write(params, how) {
  history[how](null, "", location.pathname + location.search + addressOf(params));
}
/** Changes the view by `{key: value or values}`; nothing, or an empty value, removes the key. */
function go(changes, how = "pushState") {
  const next = new URLSearchParams(view);
  for (const [key, values] of Object.entries(changes)) {
    next.delete(key);
    [values].flat().filter(Boolean).forEach((value) => next.append(key, value));
  }
  if (next.toString() !== view.toString()) write(next, how);
  show(next);
}
addEventListener("hashchange", () => {
  // Without a place, the address says all; an empty one is the page as it was first seen.
  const next = location.hash ? viewIn(location.hash) : new URLSearchParams();
  write(next, "replaceState");
  show(next);
});
view = location.hash ? viewIn(location.hash) : view;
