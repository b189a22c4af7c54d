// Curves over epochs, as SVG.
function svg(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}
const WIDTH = 360, HEIGHT = 110, TOP = 18, LEFT = 40;
/** Draws `[{name, points: [[epoch, value], …]}, …]`; `label` says what is seen. Null if there are no two points. */
function curves(series, label) {
  const points = series.flatMap((each) => each.points);
  if (points.length < 2) return null;
  const range = (index) => {
    const values = points.map((point) => point[index]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[x0, x1], [y0, y1]] = [range(0), range(1)];
  const x = (value) => LEFT + (value - x0) / (x1 - x0 || 1) * (WIDTH - LEFT - 4);
  const y = (value) => TOP + (y1 - value) / (y1 - y0 || 1) * (HEIGHT - TOP - 18);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": `${label}, epochs ${x0} to ${x1}` });
  const legend = svg("text", { x: LEFT, y: 10 });
  series.forEach((each, place) => legend.append(svg("tspan", { class: `name-${place}` }, `${place ? "   - - " : "— "}${each.name}`)));
  drawn.append(
    svg("line", { x1: LEFT, x2: WIDTH - 4, y1: HEIGHT - 14, y2: HEIGHT - 14, class: "axis" }),
    legend,
    ...[[y1, y(y1) + 4], [y0, y(y0) + 2]].map(([value, at]) => svg("text", { x: LEFT - 6, y: at, "text-anchor": "end" }, +value.toPrecision(3))),
    svg("text", { x: LEFT, y: HEIGHT - 2 }, `epoch ${x0}`),
    svg("text", { x: WIDTH - 4, y: HEIGHT - 2, "text-anchor": "end" }, x1),
    ...series.map((each, place) => svg("polyline", { class: `line-${place}`, points: each.points.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") })),
  );
  return drawn;
}
/** The points of a part's column over its first one. */
function pointsOf(part, column) {
  return part.rows.map((row) => [Number(row[0]), Number(row[column])]).filter((point) => point.every(Number.isFinite));
}
