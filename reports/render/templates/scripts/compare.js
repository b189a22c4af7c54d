// Two Runs side by side: what differs between their records, their curves, and the images that only one gets right.
const comparison = one("#comparison");
function curvesOf(ids) {
  const histories = ids.map((id) => partsOf(id).find((part) => part.title === "History"));
  const names = [...new Set(histories.flatMap((part) => (part?.plots ?? []).flat().map((column) => part.head[column])))];
  const drawn = names.map((name) => {
    const series = histories.map((part, side) => ({ name: `${SIDES[side]} ${name}`, points: part?.head.includes(name) ? pointsOf(part, part.head.indexOf(name)) : [] }));
    return curves(series, `${name} of A and B`);
  }).filter(Boolean);
  if (!drawn.length) return [];
  const box = make("section", "", { class: "part" });
  box.append(make("h3", "Curves"), ...drawn);
  return [box];
}
async function showComparison(ids) {
  const [first, second] = ids.map(flatParts);
  const titles = [...new Set([...first.keys(), ...second.keys()])];
  const sections = (test) => titles.filter(test).map((title) => section(title, first.get(title), second.get(title)));
  const isSettings = (title) => title === "Settings";
  const isMeasured = (title) => MEASURED.test(title);
  one(".sides", comparison).replaceChildren(...ids.map((id, side) => {
    const heading = make("p", `${SIDES[side]} `, { class: `name-${side}` });
    heading.append(button(id, {}, () => openRecord(id)));
    return heading;
  }));
  const images = make("section");
  one(".parts", comparison).replaceChildren(...sections(isSettings), ...sections(isMeasured), ...curvesOf(ids), images,
    ...sections((title) => !isSettings(title) && !isMeasured(title)));
  one(".scroller", comparison).scrollTop = 0;
  if (!comparison.open) comparison.showModal();
  images.replaceWith(await imagesPart(ids));
}
/** The two Runs in the address; null unless both are in the page. */
function pairIn(params) {
  const ids = (params.get("compare") ?? "").split(",");
  return ids.length === 2 && ids[0] !== ids[1] && ids.every(isRun) ? ids : null;
}
const compareRuns = (ids) => go({ compare: ids.join(","), run: "" });

// A record offers the other Runs of its kind; those on its dataset come first.
function offerOthers(id) {
  const { of, job } = data.runs[id];
  const others = Object.entries(data.runs).filter(([other, run]) => other !== id && run.job === job);
  const near = ([, run]) => (run.of.dataset === of.dataset ? 0 : 1);
  others.sort((a, b) => near(a) - near(b));
  one("#others").replaceChildren(...others.map(([other, run]) => make("option", "", { value: other, label: run.label })));
  one("#compare-with").value = "";
  one(".compare-with").hidden = others.length === 0;
}
one("#compare-with").addEventListener("input", (event) => {
  if (isRun(event.target.value) && event.target.value !== view.get("run")) compareRuns([view.get("run"), event.target.value]);
});

// The table of Runs has a box per row; two that are chosen can be compared.
function addBoxes(block) {
  const picked = [];
  const start = button("", { class: "pick" }, () => compareRuns(picked));
  const tell = () => {
    start.textContent = picked.length < 2 ? `Compare two Runs (${picked.length} chosen)` : "Compare the two chosen";
    start.disabled = picked.length < 2;
  };
  for (const row of one("tbody", block).rows) {
    const id = runIds[numbersOf(row)[0]];
    if (!id) continue;
    const box = make("input", "", { type: "checkbox", class: "pick", "aria-label": `Compare ${id}` });
    box.addEventListener("change", () => {
      if (box.checked) picked.push(id);
      else picked.splice(picked.indexOf(id), 1);
      if (picked.length > 2) one(`#r${data.runs[picked.shift()].number} .pick`).checked = false; // the first makes room
      tell();
    });
    row.cells[0].prepend(box);
  }
  tell();
  one(".controls", block).append(start);
}
loaded.then(() => {
  all("#table-runs .block").forEach(addBoxes);
  onView((params) => {
    if (isRun(params.get("run"))) offerOthers(params.get("run"));
    const pair = pairIn(params);
    if (pair) showComparison(pair);
    else comparison.close();
  });
});
comparison.addEventListener("close", () => { if (view.has("compare")) go({ compare: "" }); });
