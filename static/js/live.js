// The list of live items: from the stream, from `live` messages, and from the availability route.

import { countdown } from "./clock.js";
import { element, hueOf, setText } from "./element.js";
import { reorder } from "./flip.js";

const SHOWN_MAX = 12;

export class LiveNow {
  #list;
  #empty;
  #count;
  #onOpen;
  #known = new Map(); // item key to `{item, until, text, topic}`
  #rows = new Map();

  /** `onOpen(item)` runs when the user opens an item. */
  constructor({ list, empty, count }, onOpen) {
    this.#list = list;
    this.#empty = empty;
    this.#count = count;
    this.#onOpen = onOpen;
  }

  clear() {
    this.#known.clear();
    this.#rows.clear();
    this.#list.replaceChildren();
    this.tick(Date.now());
  }

  /** Adds the live items of the stream. */
  learn(items, now) {
    for (const { item, text, topic, live, available_until: until } of items) {
      if (live) this.#known.set(item, { item, until, text, topic });
      else this.#known.delete(item);
    }
    this.tick(now);
  }

  /** Applies a `live` message, or one item of the availability list. */
  change({ item, available, until, text, topic }, now) {
    if (available) {
      const known = this.#known.get(item);
      this.#known.set(item, { item, until: until ?? undefined, text: text ?? known?.text ?? item, topic: topic ?? known?.topic });
    } else {
      this.#known.delete(item);
    }
    this.tick(now);
  }

  /** Removes ended items and updates the countdowns. */
  tick(now) {
    for (const [key, { until }] of this.#known) if (until !== undefined && until <= now) this.#known.delete(key);
    const shown = [...this.#known.values()]
      .sort((left, right) => (left.until ?? Infinity) - (right.until ?? Infinity) || (left.item < right.item ? -1 : 1))
      .slice(0, SHOWN_MAX);
    for (const key of this.#rows.keys()) if (!shown.some(({ item }) => item === key)) this.#rows.delete(key);
    const rows = shown.map((entry) => this.#row(entry, now));
    const before = [...this.#list.children].filter((node) => !node.classList.contains("leaving"));
    if (rows.length !== before.length || rows.some((node, index) => node !== before[index])) reorder(this.#list, rows);
    this.#empty.hidden = rows.length > 0;
    setText(this.#count, this.#known.size ? String(this.#known.size) : "");
  }

  #row({ item, until, text, topic }, now) {
    let row = this.#rows.get(item);
    if (!row) {
      const words = element("span", { class: "live-text" });
      const left = element("span", { class: "number quiet" });
      const button = element("button", { type: "button", onclick: () => this.#onOpen(item) }, element("span", { class: "live-dot", "aria-hidden": "true" }), words, left);
      row = { node: element("li", { "--hue": hueOf(topic ?? "") }, button), words, left };
      this.#rows.set(item, row);
    }
    setText(row.words, text);
    setText(row.left, until === undefined ? "on air" : countdown(until - now));
    return row.node;
  }
}
