// Users who are atypical in one metric, by a number of standard deviations.

import { element, setText } from "../element.js";
import { ask } from "./ask.js";
import { label } from "./posteriors.js";
import { amount, short } from "./words.js";

const LIMIT = 50;
const REST_MS = 150;

export class Atypical {
  #parts;
  #metrics = [];
  #again = () => {};

  constructor(parts) {
    this.#parts = parts;
    let rest = 0;
    parts.sigmas.addEventListener("input", () => {
      setText(parts.said, Number(parts.sigmas.value).toFixed(1));
      clearTimeout(rest);
      rest = setTimeout(() => this.#again(), REST_MS);
    });
    parts.metric.addEventListener("change", () => this.#again());
  }

  /** `again()` sends the request again at once. */
  whenChanged(again) {
    this.#again = again;
  }

  /** Sets the metrics to choose from. */
  offer({ metrics }) {
    const { metric } = this.#parts;
    const measured = metrics.filter(({ people }) => people > 0);
    if (measured.map(label).join() === this.#metrics.map(label).join()) return;
    const chosen = this.#metrics[metric.value] && label(this.#metrics[metric.value]);
    this.#metrics = measured;
    metric.replaceChildren(...measured.map((one, index) => element("option", { value: index }, label(one))));
    metric.value = Math.max(0, measured.findIndex((one) => label(one) === chosen));
    this.#again();
  }

  /** The path to request; null before any metric is known. */
  async ask() {
    const metric = this.#metrics[this.#parts.metric.value];
    if (!metric) return null;
    const query = new URLSearchParams({ sigmas: this.#parts.sigmas.value, limit: LIMIT });
    if (metric.type) query.set("type", metric.type);
    return ask(`/v1/metrics/${encodeURIComponent(metric.name)}/atypical?${query}`);
  }

  show({ mean, deviation, people }) {
    const { words, table } = this.#parts;
    const more = people.length === LIMIT ? `The ${LIMIT} farthest` : short(people.length);
    setText(words, `${more} beyond ${amount(mean)} \u00b1 ${this.#parts.sigmas.value} \u00d7 ${amount(deviation)}.`);
    const most = Math.max(...people.map(({ sigmas }) => Math.abs(sigmas)), 1);
    table.hidden = people.length === 0;
    table.replaceChildren(
      element("caption", { class: "hidden" }, "People and how far they are from the mean"),
      element("thead", {}, element("tr", {}, ...["person", "value", "from the mean"].map((name) => element("th", { scope: "col" }, name)))),
      element(
        "tbody",
        {},
        ...people.map(({ user, value, sigmas }) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, user),
            element("td", {}, amount(value)),
            element(
              "td",
              { class: "far" },
              element("span", { class: `bar-fill ${sigmas < 0 ? "below" : "above"}`, "--share": Math.abs(sigmas) / most, "aria-hidden": "true" }),
              ` ${sigmas < 0 ? "\u2212" : "+"}${Math.abs(sigmas).toFixed(1)} \u03c3`,
            ),
          ),
        ),
      ),
    );
  }
}
