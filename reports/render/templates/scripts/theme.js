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
