// What the server thinks of the person: topic weights, seen decaying, and set by hand.
//
// Between two `model` messages the page computes the same decay as the server, so the numbers move truthfully.

import { roughly } from "./clock.js";
import { HORIZON_MS, decayed, goneAfter } from "./decay.js";
import { element, hueOf, setText } from "./element.js";
import { reorder } from "./flip.js";
import { spark } from "./spark.js";

const POINTS = 48;
// A slider held with an arrow key would make an event per step.
const REST_MS = 350;

export class Topics {
  #list;
  #empty;
  #onWeigh;
  #rows = new Map();

  /** `onWeigh(topics)` is called when the person sets a weight. */
  constructor({ list, empty, form, input, suggestions }, onWeigh) {
    this.#list = list;
    this.#empty = empty;
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

  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  /** Takes the weights of a `model` message, or those just set by hand. */
  show(weights, { whole = true } = {}) {
    const now = performance.now();
    if (whole) {
      for (const row of this.#rows.values()) if (!(row.topic in weights) && !row.held) row.weight = 0;
    }
    for (const [topic, weight] of Object.entries(weights)) {
      const row = this.#rows.get(topic) ?? this.#make(topic);
      if (row.held) continue;
      const risen = weight - current(row, now);
      row.weight = weight;
      row.since = now;
      if (Math.abs(risen) > 0.005) flash(row.node, risen > 0 ? "up" : "down");
    }
    const rows = [...this.#rows.values()].sort(
      (left, right) => current(right, now) - current(left, now) || (left.topic < right.topic ? -1 : 1),
    );
    // Nobody wants a slider to run away from under the finger.
    if (rows.some(({ held }) => held)) this.#list.append(...rows.filter(({ node }) => !node.isConnected).map(({ node }) => node));
    else reorder(this.#list, rows.map(({ node }) => node));
    this.#empty.hidden = rows.length > 0;
    this.tick();
  }

  /** Topics that the person may name. */
  suggest(topics) {
    const known = new Set([...this.suggestions.children].map(({ value }) => value));
    this.suggestions.append(...topics.filter((topic) => !known.has(topic)).map((value) => element("option", { value })));
  }

  /** Time has passed: all weights have decayed a little. */
  tick() {
    const now = performance.now();
    for (const row of this.#rows.values()) {
      const weight = current(row, now);
      const digits = weight.toFixed(6);
      setText(row.value, digits.slice(0, 4));
      setText(row.more, digits.slice(4));
      row.slider.style.setProperty("--fill", row.held ? row.slider.value : weight);
      if (!row.held) row.slider.value = weight;
      const gone = weight > 0 ? `gone in ${roughly(goneAfter(weight))}` : "forgotten";
      setText(row.gone, gone);
      // The curve moves by less than a pixel per minute.
      if (Math.abs(weight - row.drawn) > 0.0005) this.#drawCurve(row, weight);
    }
  }

  #drawCurve(row, weight) {
    row.drawn = weight;
    const points = Array.from({ length: POINTS + 1 }, (_, index) => {
      const share = index / POINTS;
      return [share, decayed(weight, share * HORIZON_MS)];
    });
    row.curve.draw(points, 0);
  }

  #make(topic) {
    const slider = element("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": `Weight of ${topic}` });
    const value = element("span", {});
    const more = element("span", { class: "fine" });
    const gone = element("span", { class: "quiet gone" });
    const curve = spark(`Where the weight of ${topic} goes within 7 days, if nothing happens`);
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
    this.#rows.set(topic, row);
    this.#listen(row);
    return row;
  }

  #listen(row) {
    let rest = 0;
    row.slider.addEventListener("keydown", (event) => {
      // A slider without steps moves by a hundredth of its range in one browser and a tenth in another.
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

const current = (row, now) => (row.held ? row.weight : decayed(row.weight, now - row.since));

function flash(node, way) {
  node.dataset.way = "";
  requestAnimationFrame(() => (node.dataset.way = way));
}
