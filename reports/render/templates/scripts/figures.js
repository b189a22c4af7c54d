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
