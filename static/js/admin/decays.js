// The decay of topic weights by the server's settings: both curves over time, and the function with its derivative.

import { picture, setText } from "../element.js";
import { decayOf, logistic, slope } from "../decay.js";
import { span } from "../model.js";
import { Drawing, axes, line, sheet } from "./canvas.js";
import { scale, spanOf } from "./geometry.js";

const HEIGHT = 230;
const POINTS = 96;
const HORIZONS_MAX = 4;
const UNITS = [["days", 86_400_000], ["hours", 3_600_000], ["minutes", 60_000], ["seconds", 1_000]];

export class Decays {
  #parts;
  #time;
  #shape;
  #said = "";

  constructor(parts) {
    this.#parts = parts;
    this.#time = new Drawing(parts.time);
    this.#shape = new Drawing(parts.shape);
  }

  show(settings) {
    const said = JSON.stringify(settings);
    if (said === this.#said) return;
    this.#said = said;
    const { curve, rate, horizon_ms: horizon } = settings;
    setText(this.#parts.words, `This server decays topic weights by the ${curve === "euler" ? "Euler step" : "exact flow"}, with rate ${rate} and horizon ${span(horizon)}.`);
    const [unit, unitMs] = UNITS.find(([, length]) => horizon >= 2 * length) ?? UNITS.at(-1);
    const exact = decayOf({ ...settings, curve: "exact" });
    const euler = decayOf({ ...settings, curve: "euler" });
    const end = Math.min(1.05 * exact.endOf(1), HORIZONS_MAX * horizon);
    const fall = (decay, weight) => along(end, (elapsed) => [elapsed / unitMs, decay.after(weight, elapsed)]);
    const lines = [1, 0.5].flatMap((weight) => [["curve", fall(exact, weight)], ["curve dashed", fall(euler, weight)]]);
    this.#time.show((width) =>
      plot(width, `Topic weights of 1 and of one half over ${unit}, by the exact flow and by one Euler step`, lines, [0, 1.04], [`${unit} since the last like`, "weight"]),
    );
    const shape = [
      ["curve", along(1, (x) => [x, logistic(x, rate)])],
      ["curve dashed", along(1, (x) => [x, slope(x, rate)])],
    ];
    const range = spanOf([1, slope(0, rate)], 0.05);
    this.#shape.show((width) => plot(width, "The function f between 0 and 1, and its derivative, the change of a weight per horizon", shape, range, ["x, or weight", ""]));
  }
}

function along(end, point) {
  return Array.from({ length: POINTS + 1 }, (_, index) => point((end * index) / POINTS));
}

function plot(width, label, lines, spanUp, names) {
  const box = { left: 44, right: width - 10, top: 22, bottom: HEIGHT - 40 };
  const spanAcross = [0, lines[0][1].at(-1)[0]];
  const [across, up] = [scale(spanAcross, [box.left, box.right]), scale(spanUp, [box.bottom, box.top])];
  return sheet(
    width,
    HEIGHT,
    label,
    axes(box, across, up, spanAcross, spanUp, names),
    spanUp[0] < 0 && picture("path", { class: "zero", d: `M${box.left} ${up(0)}H${box.right}` }),
    ...lines.map(([name, points]) => line(points.map(([x, y]) => [across(x), up(y)]), name)),
  );
}
