// What is stored of the Runs, compressed in the page. Where a browser can't unpack it, links lead to the table of Runs.
let data = null; // `records_data` of the report
const runIds = []; // by the numbers that the tables name, which are shorter
const runs = []; // by the same numbers
async function unpacked(node) {
  const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}
const loaded = unpacked(one("#data")).then((records) => {
  data = records;
  for (const [id, run] of Object.entries(data.runs)) {
    runIds[run.number] = id;
    runs[run.number] = run;
  }
});
const isRun = (id) => data !== null && Object.hasOwn(data.runs, id);
const partsOf = (id) => data.runs[id].parts.map((place) => data.parts[place]);
/** The value of a Run's part in the row and (if it has headings) the column of these names; "" if there is none. */
function cellOf(id, title, row, heading = "") {
  const part = partsOf(id).find((each) => each.title === title);
  const cells = part?.rows.find((each) => each[0] === row);
  return cells?.[heading ? part.head.indexOf(heading) : 1] ?? "";
}
const numbersOf = (row) => (row.dataset.runs ? row.dataset.runs.split(" ").map(Number) : []);
