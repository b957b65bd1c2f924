// The posterior of each metric: its mean and the credible interval.

import { element, picture, setText } from "../element.js";
import { path, posteriorCurve, scale, spanOf } from "./geometry.js";
import { amount, short } from "./words.js";

const [WIDTH, HEIGHT] = [200, 64];
export const label = ({ name, type }) => (type ? `${name} \u00b7 ${type}` : name);

export class Posteriors {
  #parts;

  constructor(parts) {
    this.#parts = parts;
  }

  show({ metrics, ignored }) {
    const { list, words } = this.#parts;
    const measured = metrics.filter(({ people }) => people > 0);
    const rest = metrics.length - measured.length;
    setText(
      words,
      `The mean of each metric over everybody: its posterior and the 95 % credible interval. ${rest ? `${short(rest)} without a value. ` : ""}${short(ignored)} measurements ignored.`,
    );
    list.replaceChildren(...measured.map(card));
  }
}

function card(metric) {
  const { people, mean, mean_interval: interval, deviation } = metric;
  const known = Array.isArray(interval) && interval.every(Number.isFinite) && interval[1] > interval[0];
  return element(
    "li",
    { class: "posterior" },
    element("h3", {}, label(metric)),
    known && curve(metric),
    element("p", { class: "number" }, element("b", {}, amount(mean)), known && element("span", { class: "quiet" }, ` ${amount(interval[0])} to ${amount(interval[1])}`)),
    element("p", { class: "quiet" }, `deviation ${amount(deviation)}, ${short(people)} ${people === 1 ? "person" : "people"}`),
  );
}

function curve({ people, mean, mean_interval: [low, high], ...metric }) {
  const points = posteriorCurve([low, high], Math.max(1, people));
  const across = scale(spanOf(points.map(([value]) => value), 0), [2, WIDTH - 2]);
  const up = scale([0, 1], [HEIGHT - 2, 4]);
  const place = ([value, share]) => [across(value), up(share)];
  const inside = points.filter(([value]) => value >= low && value <= high);
  const area = [[low, 0], ...inside, [high, 0]].map(place);
  return picture(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "bell", role: "img", "aria-label": `Posterior of the mean of ${label(metric)}: ${amount(mean)}, with 95 % between ${amount(low)} and ${amount(high)}` },
    picture("path", { class: "area", d: path(area, true) }),
    picture("path", { class: "curve", d: path(points.map(place)) }),
    picture("path", { class: "zero", d: `M${across(mean).toFixed(1)} ${up(1).toFixed(1)}V${HEIGHT - 2}` }),
  );
}
