// The user's model: topic weights, their decay, and sliders to set them.
//
// Between two `model` messages the page computes the decay by the server's settings, so that the numbers move
// correctly.

import { roughly } from "./clock.js";
import { changeOf, decayOf } from "./decay.js";
import { element, hueOf, setText } from "./element.js";
import { reorder } from "./flip.js";
import { spark } from "./spark.js";

const POINTS = 48;
// Groups changes, since a slider under a held arrow key would send an event per step.
const REST_MS = 350;

export class Topics {
  #list;
  #empty;
  #hint;
  #onWeigh;
  #rows = new Map();
  #decay = decayOf(null);
  #said = "";

  /** `onWeigh(topics)` runs when the user sets a weight. */
  constructor({ list, empty, hint, form, input, suggestions }, onWeigh) {
    this.#list = list;
    this.#empty = empty;
    this.#hint = hint;
    this.#onWeigh = onWeigh;
    this.suggestions = suggestions;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const topic = input.value.trim();
      if (!topic) return;
      onWeigh({ [topic]: 0.5 });
      input.value = "";
    });
  }

  /** Sets the decay of weights: the `decay` of `welcome`. */
  fade(settings) {
    const said = JSON.stringify(settings ?? null);
    if (said === this.#said) return;
    this.#said = said;
    // The weights on screen have decayed by the old settings.
    const now = performance.now();
    for (const row of this.#rows.values()) [row.weight, row.since] = [this.#current(row, now), now];
    this.#decay = decayOf(settings);
    const { horizon } = this.#decay;
    const next = horizon === null ? "" : ` The curve shows the next ${span(horizon)}.`;
    setText(this.#hint, `Each fades by itself.${next} Drag a bar to say it yourself.`);
    for (const row of this.#rows.values()) this.#label(row);
    this.tick();
  }

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  /** Sets the weights of a `model` message, or of the sliders. */
  show(weights, { whole = true } = {}) {
    const now = performance.now();
    if (whole) {
      for (const row of this.#rows.values()) if (!(row.topic in weights) && !row.held) row.weight = 0;
    }
    for (const [topic, weight] of Object.entries(weights)) {
      const row = this.#rows.get(topic) ?? this.#make(topic);
      if (row.held) continue;
      const risen = weight - this.#current(row, now);
      ({ weight: row.weight, since: row.since } = changeOf(this.#decay, row, weight, now));
      if (Math.abs(risen) > 0.005) flash(row.node, risen > 0 ? "up" : "down");
    }
    const rows = [...this.#rows.values()].sort(
      (left, right) => this.#current(right, now) - this.#current(left, now) || (left.topic < right.topic ? -1 : 1),
    );
    // A slider must not move while the user drags it.
    if (rows.some(({ held }) => held)) this.#list.append(...rows.filter(({ node }) => !node.isConnected).map(({ node }) => node));
    else reorder(this.#list, rows.map(({ node }) => node));
    this.#empty.hidden = rows.length > 0;
    this.tick();
  }

  /** Sets the topics that the user may add. */
  suggest(topics) {
    const known = new Set([...this.suggestions.children].map(({ value }) => value));
    this.suggestions.append(...topics.filter((topic) => !known.has(topic)).map((value) => element("option", { value })));
  }

  /** Redraws all weights with their current decay. */
  tick() {
    const now = performance.now();
    for (const row of this.#rows.values()) {
      const weight = this.#current(row, now);
      const digits = weight.toFixed(6);
      setText(row.value, digits.slice(0, 4));
      setText(row.more, digits.slice(4));
      row.slider.style.setProperty("--fill", row.held ? row.slider.value : weight);
      if (!row.held) row.slider.value = weight;
      setText(row.gone, fate(this.#decay, weight));
      // The curve moves by less than a pixel per minute, so it is redrawn rarely.
      if (Math.abs(weight - row.drawn) > 0.0005) this.#drawCurve(row, weight);
    }
  }

  #current(row, now) {
    return row.held ? row.weight : this.#decay.after(row.weight, now - row.since);
  }

  /** Updates the text and shape of the curve to the horizon. */
  #label(row) {
    row.drawn = -1;
    const { horizon } = this.#decay;
    const when = horizon === null ? "" : ` within ${span(horizon)}`;
    row.curve.svg.setAttribute("aria-label", `Where the weight of ${row.topic} goes${when}, if nothing happens`);
  }

  #drawCurve(row, weight) {
    row.drawn = weight;
    const points = Array.from({ length: POINTS + 1 }, (_, index) => {
      const share = index / POINTS;
      return [share, this.#decay.after(weight, share * this.#decay.horizon)];
    });
    row.curve.draw(points, 0);
  }

  #make(topic) {
    const slider = element("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": `Weight of ${topic}` });
    const value = element("span", {});
    const more = element("span", { class: "fine" });
    const gone = element("span", { class: "quiet gone" });
    const curve = spark("");
    const node = element(
      "li",
      { class: "topic", "--hue": hueOf(topic) },
      element(
        "div",
        { class: "topic-head" },
        element("span", { class: "topic-name" }, topic),
        element("span", { class: "number topic-value" }, value, more),
      ),
      slider,
      element("div", { class: "topic-foot" }, curve.svg, gone),
    );
    const row = { topic, node, slider, value, more, gone, curve, weight: 0, since: performance.now(), drawn: -1, held: false };
    this.#label(row);
    this.#rows.set(topic, row);
    this.#listen(row);
    return row;
  }

  #listen(row) {
    let rest = 0;
    row.slider.addEventListener("keydown", (event) => {
      // Without a step, an arrow key moves a slider by a hundredth of its range in one browser and by a tenth in
      // another.
      const by = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05 }[event.key];
      if (!by) return;
      event.preventDefault();
      row.slider.value = Math.max(0, Math.min(1, Number(row.slider.value) + by));
      row.slider.dispatchEvent(new Event("input"));
    });
    row.slider.addEventListener("input", () => {
      row.held = true;
      row.weight = Number(row.slider.value);
      row.since = performance.now();
      this.tick();
      clearTimeout(rest);
      rest = setTimeout(() => {
        row.held = false;
        this.#onWeigh({ [row.topic]: Number(Number(row.slider.value).toFixed(4)) });
      }, REST_MS);
    });
  }
}

const YEARS_MS = 10 * 365 * 86_400_000;

/** The future of a weight without interactions. At a high rate a weight near 1 hardly falls for a long time. */
export function fate({ least, endOf, horizon }, weight) {
  if (horizon === null) return "";
  if (weight <= 0) return "forgotten";
  if (weight <= least) return "stays";
  const end = endOf(weight);
  if (!(end < YEARS_MS)) return "stays for years";
  return `${least > 0 ? `at ${least}` : "gone"} in ${roughly(end)}`;
}

/** A duration in the largest unit with a whole number ("7 days", "90 minutes"), else "about 2 days". */
export function span(ms) {
  const units = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000]];
  const whole = units.find(([, length]) => ms >= length && ms % length === 0);
  const [unit, length] = whole ?? units.find(([, length]) => ms >= 2 * length) ?? units.at(-1);
  const count = Math.max(1, Math.round(ms / length));
  return `${whole ? "" : "about "}${count} ${unit}${count === 1 ? "" : "s"}`;
}

function flash(node, way) {
  node.dataset.way = "";
  requestAnimationFrame(() => (node.dataset.way = way));
}
