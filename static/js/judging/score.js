// Assembles the page /score: ROC curves and figures, of one person or of all people, as they change.

import { Drawing, axes, line, sheet } from "../admin/canvas.js";
import { path as svgPath, scale } from "../admin/geometry.js";
import { Poller } from "../admin/poll.js";
import { short } from "../admin/words.js";
import { element, picture, setText } from "../element.js";
import { ask } from "./ask.js";
import { area, corners, evidence } from "./figures.js";
import { Frame, lastPerson, pathOf, personOfAddress } from "./frame.js";

const CURVES = { model: "probability of a yes", online: "online model", topics: "topic weights" };
const get = (id) => document.getElementById(id);
const person = personOfAddress();
const frame = new Frame((id) => location.assign(pathOf("/score", id)), () => poller.start());
const drawing = new Drawing(get("roc"));

const poller = new Poller((kind, words) => {
  get("line").dataset.state = { ok: "online", token: "refused", trouble: "offline" }[kind];
  setText(get("line-words"), { ok: "live", token: "needs a token" }[kind] ?? words);
  if (kind === "token") frame.wantToken(words);
  else if (kind === "ok") frame.wantToken(null);
});
poller.add({ ask: () => ask(pathOf("/score", person)), show, absent });

function show(score) {
  const found = Object.keys(CURVES).filter((name) => score.roc[name].length > 0);
  setText(get("roc-words"), `${evidence(score)}. Each prediction was made before its label was learned.`);
  drawing.show((width) => draw(score, found, width));
  const heads = ["curve", "area"].map((name) => element("th", { scope: "col" }, name));
  get("areas").replaceChildren(
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...Object.entries(CURVES).map(([name, words]) => row(name, words, score.auc[name]))),
  );
  const figures = [
    ["labels", short(score.labelled)],
    ["log loss", area(score.log_loss)],
    ["calibration error", area(score.calibration_error)],
  ];
  get("figures").replaceChildren(
    ...figures.map(([name, value]) =>
      element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, element("span", { class: "tile-value number" }, value))),
    ),
  );
}

function row(name, words, auc) {
  const key = picture("svg", { class: "roc-key", viewBox: "0 0 30 10", "aria-hidden": "true" });
  key.append(picture("path", { class: `roc-curve roc-${name}`, d: "M0 5H30" }));
  return element("tr", {}, element("th", { scope: "row" }, key, ` ${words}`), element("td", { "data-auc": name }, area(auc)));
}

/** The curves in a square; the dashed diagonal is chance. */
function draw(score, found, width) {
  const size = Math.min(width, 560);
  const box = { left: 44, right: size - 12, top: 26, bottom: size - 46 };
  const [across, up] = [scale([0, 1], [box.left, box.right]), scale([0, 1], [box.bottom, box.top])];
  const areas = found.map((name) => `${CURVES[name]} ${area(score.auc[name])}`).join(", ");
  const label = found.length ? `ROC curves; area under the curve: ${areas}` : "No ROC curve yet: it needs both labels";
  return sheet(
    size,
    size,
    label,
    axes(box, across, up, [0, 1], [0, 1], ["rejected, predicted as accepted", "accepted, predicted as accepted"]),
    picture("path", { class: "zero", d: svgPath(corners([[0, 0], [1, 1]], box)) }),
    ...found.map((name) => line(corners(score.roc[name], box), `roc-curve roc-${name}`)),
  );
}

function absent(words) {
  const note = get("roc-absent");
  note.hidden = words === null;
  note.closest(".board").classList.toggle("is-absent", words !== null);
  if (words !== null) setText(note, words);
}

setText(get("roc-of"), person ? `of ${person}, over the last 256 labels` : "of all people");
get("to-everyone").hidden = !person;
get("to-posts").href = pathOf("/prediction/1", person ?? lastPerson());
frame.show(person);
poller.start();
