// The essentials of a number's record, beside it while it is pointed at or has the focus. Escape dismisses them, and the
// pointer may move onto them (WCAG 1.4.13). A tap opens the record at once.
const preview = one("#preview");
const LINK = "tbody a[href^='#r']";
const SEEDS = 8; // most that are named
let described = null; // the link whose record is shown
let timer;

function bySeed(id, row) {
  const { experiment } = data.runs[id];
  const seeds = numbersOf(row).map((number) => runIds[number]).filter((each) => data.runs[each].experiment === experiment);
  const texts = seeds.map((each) => `${data.runs[each].replicate}: ${cellOf(each, "Accuracy on the test set", "last", "top-1, %") || data.runs[each].status}`);
  return texts.slice(0, SEEDS).join("; ") + (texts.length > SEEDS ? `; ${texts.length - SEEDS} more` : "");
}
function essentials(id, row) {
  const accuracy = cellOf(id, "Accuracy on the test set", "last", "top-1, %");
  const rate = cellOf(id, "Speed, inference", "images_per_s");
  return [
    ["Run", data.runs[id].label],
    ["status", data.runs[id].status === "done" ? "" : data.runs[id].status],
    ["top-1 by seed, %", accuracy && bySeed(id, row)],
    ["inference, images/s", rate],
    ["started", cellOf(id, "Run", "started")],
    ["device", data.runs[id].device],
    ["commit", cellOf(id, "Code and versions", "commit").slice(0, 10)],
  ].filter(([, value]) => value);
}
/** Below the link, or above it where there is no room. */
function place(link) {
  const [at, box] = [link.getBoundingClientRect(), preview.getBoundingClientRect()];
  const top = at.bottom + box.height + 4 < innerHeight ? at.bottom + 2 : at.top - box.height - 2;
  preview.style.top = `${Math.max(4, top)}px`;
  preview.style.left = `${Math.max(4, Math.min(at.left, innerWidth - box.width - 4))}px`;
}
function showPreview(link) {
  const id = runIds[link.hash.slice(2)];
  if (!id || described === link) return;
  hidePreview();
  const list = make("dl");
  for (const [name, value] of essentials(id, link.closest("tr"))) list.append(make("dt", name), make("dd", value));
  preview.replaceChildren(list, make("a", "The full record", { href: link.hash, tabindex: "-1" }));
  preview.showPopover();
  place(link);
  described = link;
  link.setAttribute("aria-describedby", preview.id);
}
function hidePreview() {
  clearTimeout(timer);
  described?.removeAttribute("aria-describedby");
  described = null;
  if (preview.matches(":popover-open")) preview.hidePopover();
}
function soon(action, milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(action, milliseconds);
}
if ("showPopover" in preview) loaded.then(() => {
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const link = event.target.closest(LINK);
    if (link) soon(() => showPreview(link), 150);
    else if (preview.contains(event.target)) clearTimeout(timer);
    else if (described && described !== document.activeElement) soon(hidePreview, 250);
    else if (!described) clearTimeout(timer);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(LINK) && event.target.matches(":focus-visible")) showPreview(event.target);
    else if (!preview.contains(event.target)) hidePreview();
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hidePreview(); });
  addEventListener("scroll", () => { if (described) hidePreview(); }, true);
  onView(hidePreview);
});
