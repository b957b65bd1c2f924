// The explanation of a post's rank: each expert's contribution as a bar around zero. The bars sum to the score.

import { element } from "./element.js";

export const WORDS = {
  online: "Your yes and no",
  topic: "Your topic weight",
  freshness: "How new it is",
  followed: "You follow the author",
  popularity: "Popular now",
  repeat: "Your habit",
  co_visit: "Where people go next",
  co_audience: "Others like you go there",
  opening: "When it came on, and may end",
  tower: "What your history says",
};

/** A signed number such as "+1.204", with a typographic minus sign. */
export function signed(amount, digits = 3) {
  const text = Math.abs(amount).toFixed(digits);
  const zero = Number(text) === 0;
  return `${zero ? "" : amount < 0 ? "\u2212" : "+"}${text}`;
}

/** The chart of an item's contributions. */
export function whyChart(item, ranking) {
  const lines = item.why ?? [];
  if (lines.length === 0) return element("p", { class: "quiet" }, "The server has sent no explanation for this one.");
  const largest = Math.max(...lines.map(({ amount }) => Math.abs(amount)), 1e-9);
  const rows = [...lines]
    .sort((left, right) => Math.abs(right.amount) - Math.abs(left.amount))
    .map(({ expert, amount }) =>
      element(
        "tr",
        { "data-amount": amount, class: amount < 0 ? "against" : "for" },
        element("th", { scope: "row" }, WORDS[expert] ?? expert),
        element(
          "td",
          { class: "why-track", "aria-hidden": "true" },
          element("span", { class: "why-bar", "--share": Math.abs(amount) / largest }),
        ),
        element("td", { class: "number" }, signed(amount)),
      ),
    );
  return element(
    "table",
    { class: "why-table" },
    element("caption", {}, "Why it is here"),
    element("tbody", {}, ...rows),
    element(
      "tfoot",
      {},
      element(
        "tr",
        { "data-score": item.score },
        element("th", { scope: "row", colspan: 2 }, meaning(item, ranking)),
        element("td", { class: "number" }, signed(item.score)),
      ),
    ),
  );
}

/** The meaning of a score: the probability of a yes where answers have calibrated it, else "Score". */
export function meaning({ likely }, ranking) {
  if (ranking !== "model" || !Number.isFinite(likely)) return "Score";
  // Clamps to 1 to 99 %, since no prediction is certain.
  return `Score: ${Math.min(99, Math.max(1, Math.round(100 * likely)))} % likely that you want it`;
}
