// Figures of journal, actors and learning, each with its last few minutes.

import { element, setText } from "../element.js";
import { spark } from "../spark.js";
import { Trend } from "./trend.js";
import { amount, bytes, short } from "./words.js";

const sum = (counts) => Object.values(counts ?? {}).reduce((total, count) => total + count, 0);

/** Columns: name, value, format, note; `rate` marks counters, which show their increase per second. */
const TILES = [
  { name: "Writes per second", of: ({ journal }) => journal.writes, rate: true, say: amount, more: ({ journal }) => `${short(journal.writes)} since the start` },
  { name: "Commits per second", of: ({ journal }) => journal.commits, rate: true, say: amount, more: ({ journal }) => meanCommit(journal) },
  { name: "Journal queue", of: ({ journal }) => journal.queued, say: short, more: ({ journal }) => `of ${short(journal.queue_max)}` },
  { name: "People in memory", of: ({ people }) => people.active, say: short, more: ({ people }) => `of ${short(people.known)} known` },
  { name: "Open sockets", of: ({ sockets }) => sockets, say: short, more: () => "" },
  { name: "Items on", of: ({ world }) => world.open, say: short, more: ({ world }) => `of ${short(world.items)} ever made` },
  { name: "Memory", of: ({ memory_bytes: memory }) => memory, say: bytes, more: () => "of the process" },
  {
    name: "Refused",
    of: ({ journal, rate_limited: limited }) => journal.refused + sum(limited),
    say: short,
    more: ({ journal, rate_limited: limited }) => `${short(journal.refused)} queue full, ${short(sum(limited))} too many`,
  },
  { name: "AUC", of: ({ learned }) => learned?.auc.model, say: (value) => value?.toFixed(3) ?? "\u2013", more: ({ learned }) => `of the ranking; ${short(learned?.labelled)} labelled` },
  { name: "Log loss", of: ({ learned }) => learned?.log_loss, say: (value) => value?.toFixed(3) ?? "\u2013", more: ({ learned }) => `of the yes and no models; calibration error ${amount(learned?.calibration_error)}` },
  { name: "Drift alarms", of: ({ learned }) => learned?.drifts, say: short, more: ({ learned }) => `in ${short(learned?.hedge.rounds)} lessons` },
  { name: "Feeds logged", of: ({ slates }) => slates.logged, say: short, more: ({ slates }) => `${short(slates.dropped)} dropped` },
];

function meanCommit({ commits, seconds }) {
  return commits > 0 ? `${amount((1000 * seconds) / commits)} ms each` : "none yet";
}

export class Figures {
  #list;
  #tiles;

  constructor(list) {
    this.#list = list;
    this.#tiles = TILES.map((tile) => {
      const value = element("span", { class: "number tile-value" }, "\u2013");
      const note = element("span", { class: "quiet tile-more" });
      const curve = spark(`${tile.name}, the last three minutes`);
      const node = element("div", { class: "tile" }, element("dt", {}, tile.name), element("dd", {}, value, note, curve.svg));
      return { ...tile, node, value, note, curve, trend: new Trend() };
    });
    this.#list.append(...this.#tiles.map(({ node }) => node));
  }

  show(figures) {
    for (const tile of this.#tiles) {
      tile.trend.add(figures.at, tile.of(figures));
      const values = tile.rate ? tile.trend.rates() : tile.trend.values();
      setText(tile.value, tile.say(tile.rate ? (values.at(-1) ?? null) : (tile.of(figures) ?? null)));
      setText(tile.note, tile.more(figures));
      tile.curve.draw(normal(values), -1);
    }
  }
}

/** The maximum at the top, 0 at the bottom; figures with small changes stay a level line. */
function normal(values) {
  const top = Math.max(...values, 1e-9) * 1.1;
  const last = Math.max(1, values.length - 1);
  return values.map((value, index) => [index / last, value / top]);
}
