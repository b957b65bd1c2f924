// One post as a message bubble.
//
// Invariant: each item has one card, and an update changes only the parts that differ, so that the card keeps focus and
// position.

import { ago, countdown, roughly } from "./clock.js";
import { element, hueOf, setText } from "./element.js";
import { icon } from "./icons.js";
import { signed, whyChart } from "./why.js";
import { newId } from "../../clients/javascript/src/index.js";

export const ACTIONS = [
  { kind: "like", label: "Like", key: "l" },
  { kind: "share", label: "Share", key: "s" },
  { kind: "skip", label: "Skip", key: "x" },
  { kind: "hide", label: "Hide", key: "h" },
  { kind: "accept", label: "More like this", key: "a" },
  { kind: "reject", label: "Not like this", key: "r" },
];
const DONE = { like: "liked", share: "shared", skip: "skipped", hide: "hidden", accept: "noted", reject: "noted" };

export class Card {
  #item;
  #ranking;
  #parts = {};
  #buttons = new Map();
  #shiftTimer = 0;

  constructor(item, { onAction, nameOf }) {
    const id = `post-${newId()}`;
    const author = item.author ?? "someone";
    const name = nameOf(author);
    const parts = this.#parts;
    parts.topic = element("span", { class: "chip" });
    parts.live = element("span", { class: "badge-live", hidden: true });
    parts.time = element("time", { class: "quiet" });
    parts.text = element("p", { class: "text", id: `${id}-text` });
    parts.score = element("output", { class: "score number", title: "Score" });
    parts.shift = element("span", { class: "shift", "aria-hidden": "true" });
    parts.state = element("span", { class: "state" });
    parts.place = element("span", { class: "place number", "aria-hidden": "true" });
    parts.chart = element("div", { class: "why", id: `${id}-why`, hidden: true });
    parts.why = element(
      "button",
      { type: "button", class: "why-toggle", "aria-expanded": "false", "aria-controls": `${id}-why`, onclick: () => this.toggleWhy() },
      icon("why"),
      "Why?",
    );
    const group = (label, actions) =>
      element("div", { class: "actions", role: "group", "aria-label": label }, ...actions.map((action) => this.#button(action, onAction)));
    this.node = element(
      "article",
      { class: "card", tabindex: "-1", "aria-labelledby": `${id}-author ${id}-text`, "data-item": item.item, "--hue": hueOf(author) },
      element("div", { class: "margin" }, element("span", { class: "avatar", "aria-hidden": "true" }, initials(name)), parts.place, parts.shift),
      element(
        "div",
        { class: "bubble" },
        element(
          "header",
          {},
          element("strong", { class: "author", id: `${id}-author` }, name),
          parts.topic,
          parts.live,
          parts.time,
          element("span", { class: "spacer" }),
          parts.score,
        ),
        parts.text,
        parts.chart,
        element(
          "footer",
          {},
          group("React", ACTIONS.slice(0, 4)),
          group("Teach", ACTIONS.slice(4)),
          parts.state,
          parts.why,
        ),
      ),
    );
    this.node.card = this;
  }

  get item() {
    return this.#item;
  }

  /** Updates the card to the item; `shift` is the number of places that it rose (negative: fell). */
  show(item, { reaction, ranking, now, size, shift }) {
    const { topic, text, score, place, chart } = this.#parts;
    const news = this.#item?.score !== item.score || this.#item?.why !== item.why || this.#ranking !== ranking;
    this.#item = item;
    this.#ranking = ranking;
    setText(text, item.text);
    setText(topic, item.topic ?? "");
    topic.hidden = !item.topic;
    topic.style.setProperty("--hue", hueOf(item.topic ?? ""));
    setText(score, signed(item.score));
    setText(place, String(item.position + 1));
    this.node.setAttribute("aria-posinset", item.position + 1);
    this.node.setAttribute("aria-setsize", size);
    if (news && !chart.hidden) this.#drawChart();
    if (shift) this.#showShift(shift);
    this.react(reaction);
    this.tick(now);
  }

  /** Shows the user's reaction to the item. */
  react(reaction) {
    this.node.dataset.reaction = reaction?.kind ?? "";
    this.node.dataset.state = reaction?.state ?? "";
    for (const [kind, button] of this.#buttons) button.setAttribute("aria-pressed", String(reaction?.kind === kind));
    setText(this.#parts.state, !reaction ? "" : reaction.state === "pending" ? "saving\u2026" : DONE[reaction.kind]);
  }

  /** Updates the relative times and countdowns. */
  tick(now) {
    const { time, live } = this.#parts;
    setText(time, ago(this.#item.at, now));
    time.dateTime = new Date(this.#item.at).toISOString();
    live.hidden = !this.#item.live;
    if (!this.#item.live) return;
    const { available_until: known, expected_until: expected } = this.#item;
    const left = known === undefined ? null : known - now;
    const guess = expected === undefined || expected <= now ? "live" : `live \u00b7 probably ${roughly(expected - now)} more`;
    setText(live, left === null ? guess : left > 0 ? `live \u00b7 ${countdown(left)} left` : "ended");
  }

  toggleWhy() {
    const { why, chart } = this.#parts;
    const open = chart.hidden;
    chart.hidden = !open;
    why.setAttribute("aria-expanded", String(open));
    if (open) this.#drawChart();
  }

  #drawChart() {
    this.#parts.chart.replaceChildren(whyChart(this.#item, this.#ranking));
  }

  #showShift(shift) {
    const { shift: node } = this.#parts;
    setText(node, `${shift > 0 ? "\u25b2" : "\u25bc"} ${Math.abs(shift)}`);
    node.dataset.way = shift > 0 ? "up" : "down";
    node.classList.add("shown");
    clearTimeout(this.#shiftTimer);
    this.#shiftTimer = setTimeout(() => node.classList.remove("shown"), 2500);
  }

  #button({ kind, label, key }, onAction) {
    const button = element(
      "button",
      { type: "button", "data-kind": kind, "aria-pressed": "false", "aria-label": label, title: `${label} (${key})`, onclick: () => onAction(this.#item.item, kind) },
      icon(kind),
      element("span", { class: "label" }, label),
    );
    this.#buttons.set(kind, button);
    return button;
  }
}

/** The initials of a name: one or two letters. */
export function initials(name) {
  const words = name.split(/[\s_.\-]+/).filter(Boolean);
  return words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
}
