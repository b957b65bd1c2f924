// Pages, visits and figures of the sample site, without the browser. Pure; tests/page/examples.test.mjs.

const NONE = "\u2013";
/** A shorter visit only passed through on the way to another page. */
const VISIT_MS_MIN = 300;
/** Longest time of one measurement, by the declaration of `time_spent`. */
const VISIT_S_MAX = 86_400;

/** Pages A to J: each measures one of the ten types of the metric `time_spent`. */
export const PAGES = Object.freeze(
  ["post", "feed", "channel", "live", "profile", "topic", "search", "people", "settings", "other"].map((type, index) => ({
    name: "ABCDEFGHIJ"[index],
    hash: `#${"abcdefghij"[index]}`,
    type,
  })),
);

/** The page of an address's fragment; the first page for any other fragment. */
export const pageOf = (hash) => PAGES.find((page) => page.hash === hash.toLowerCase()) ?? PAGES[0];

/** Measures one visit at a time. Times are monotonic milliseconds. */
export class Visit {
  #type = null;
  #since = 0;

  begin(type, now) {
    this.#type = type;
    this.#since = now;
  }

  /** Ends the visit: its measurement, or null without a visit that lasted. */
  end(now) {
    const [type, lasted] = [this.#type, now - this.#since];
    this.#type = null;
    if (type === null || lasted < VISIT_MS_MIN) return null;
    return { metric: "time_spent", type, value: Math.min(Math.round(lasted) / 1_000, VISIT_S_MAX) };
  }
}

const number = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "\u2212") : NONE);

/** Rows of the table: a row per page, then one of all pages. `metrics` is the list of `GET /v1/users/{id}/metrics`. */
export function rowsOf(metrics) {
  const of = (type) => metrics.find((one) => one.name === "time_spent" && one.type === type);
  const row = (name, type) => {
    const { count = 0, value = NaN, mean = NaN, interval = null, z = NaN, atypical = false } = of(type) ?? {};
    const within = interval ? `${number(interval[0])} to ${number(interval[1])}` : NONE;
    return { name, type, atypical, cells: [String(count), number(value), number(mean), within, number(z, 2)] };
  };
  return [...PAGES.map(({ name, type }) => row(name, type)), row("all", null)];
}

/** Whether the visitor is atypical, in words, and in which rows. */
export function verdict({ sigmas, metrics }) {
  const rows = rowsOf(metrics);
  if (rows.every(({ cells }) => cells[0] === "0")) return "No visit is known yet.";
  const far = rows.filter(({ atypical }) => atypical).map(({ name }) => (name === "all" ? "all pages together" : `page ${name}`));
  const beyond = `${sigmas} deviations from the mean of all users`;
  return far.length ? `Atypical: more than ${beyond} on ${far.join(", ")}.` : `Typical: within ${beyond} everywhere.`;
}
