// What all dialogs share, and the place that the address names besides filters.
all("dialog").forEach((each) => {
  one(".close", each).addEventListener("click", () => each.close());
  each.addEventListener("click", (event) => { if (event.target === each) each.close(); });
});
if (location.hash.includes("=")) document.getElementById(view.get("at") ?? "")?.scrollIntoView();
