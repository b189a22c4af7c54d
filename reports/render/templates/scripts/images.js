// The test images that only one of two Runs gets right.
const IMAGES = 50; // most that are named

/** The places of the images that a Run gets wrong; in the page each is there as its distance from the one before. */
function wrongOf(answers, id) {
  let place = -1;
  return new Set(answers.wrong[data.runs[id].number].map((distance) => { place += distance; return place; }));
}
/** `[which, images]` for both sides, and in words how many both get right and wrong. */
function compareAnswers(answers, ids) {
  const [a, b] = ids.map((id) => wrongOf(answers, id));
  const places = answers.images.map((_, place) => place);
  const count = (test) => places.filter(test).length;
  const right = count((place) => !a.has(place) && !b.has(place));
  const wrong = count((place) => a.has(place) && b.has(place));
  return {
    summary: `Of ${places.length} images, both get ${right} right and ${wrong} wrong.`,
    alone: [[b, a], [a, b]].map(([others, own]) => places.filter((place) => others.has(place) && !own.has(place)).map((place) => answers.images[place])),
  };
}
function listOf(side, images) {
  const text = `Only ${side} is right: ${images.length}${images.length > IMAGES ? `, of which the first ${IMAGES}` : ""}`;
  if (!images.length) return make("p", text, { class: "note" });
  const folded = make("details", "", { open: "" });
  folded.append(make("summary", text), textTable(text, [], images.slice(0, IMAGES).map((image) => [image])));
  return folded;
}
async function imagesPart(ids) {
  const [set, other] = ids.map((id) => data.runs[id].images);
  const node = one(`#images-${set}`);
  const unknown = set === null || other === null ? "Predictions of the last epoch are not stored for both."
    : set !== other ? "The two were tested on different images."
    : !node ? "Left out to keep this page small; predictions.parquet of each Run has one row per image." : "";
  const box = make("section", "", { class: "part long" });
  box.append(make("h3", "Images that only one gets right"));
  if (unknown) {
    box.append(make("p", unknown, { class: "note" }));
    return box;
  }
  const { summary, alone } = compareAnswers(await unpacked(node), ids);
  box.append(make("p", summary, { class: "note" }), ...alone.map((images, side) => listOf(SIDES[side], images)));
  return box;
}
