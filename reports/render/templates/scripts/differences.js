// The parts of two records, side by side.
const SIDES = ["A", "B"];
const ELSEWHERE = ["History", "Predictions of the last epoch"]; // parts that are compared as curves and images
const MEASURED = /^(Accuracy|Speed|Training)/; // titles of parts whose numbers are worth a difference

/** Title -> {name: text} of a Run's parts; a table with headings gives a name per cell, equal titles are counted. */
function flatParts(id) {
  const flat = new Map();
  for (const part of partsOf(id).filter((each) => !ELSEWHERE.includes(each.title))) {
    let title = part.title;
    for (let count = 2; flat.has(title); count++) title = `${part.title} ${count}`;
    const cells = part.rows.flatMap(([name, ...values]) => values.map((value, place) => [part.head.length ? `${name}: ${part.head[place + 1]}` : name, value]));
    flat.set(title, new Map(cells));
  }
  return flat;
}
function difference(first, second) {
  const [a, b] = [first, second].map(Number);
  if (first === "" || second === "" || !Number.isFinite(b - a)) return "";
  const digits = Math.max(...[first, second].map((text) => (text.split(".")[1] ?? "").length));
  return `${b > a ? "+" : ""}${(b - a).toFixed(Math.min(digits, 6))}`.replace("-", "−");
}
/** The rows in which the two differ, and folded below them those in which they don't. */
function section(title, first = new Map(), second = new Map()) {
  const names = [...new Set([...first.keys(), ...second.keys()])];
  const differs = (name) => first.get(name) !== second.get(name);
  const measured = MEASURED.test(title);
  const rows = names.filter(differs).map((name) => {
    const [a, b] = [first, second].map((each) => each.get(name) ?? DASH);
    return measured ? [name, a, b, difference(a, b)] : [name, a, b];
  });
  const equal = names.filter((name) => !differs(name)).map((name) => [name, first.get(name)]);
  const box = make("section", "", { class: "part long" });
  box.append(make("h3", title));
  if (rows.length) box.append(textTable(title, ["", ...SIDES, ...(measured ? ["B − A"] : [])], rows));
  if (equal.length) {
    const folded = make("details");
    folded.append(make("summary", `${equal.length} equal`), textTable(`${title}, equal`, [], equal));
    box.append(folded);
  }
  return box;
}
