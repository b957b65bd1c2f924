// The topic weights of the user over time, the decay curves of the server's settings, and the user's friends.
//
// Invariant: the lines are the server's points. The page requests them when the section opens, and never by itself.

import { element, picture, setText } from "./element.js";
import { server } from "./server.js";

export const WIDTH = 240;
export const HEIGHT = 72;
/** Hues of the lines of a chart, in their order. */
const HUES = [190, 28, 300, 120, 350, 230, 70, 160];
const hueAt = (index) => HUES[index % HUES.length];
/** Friends that the page lists; the rest is counted. */
export const FRIENDS_MAX = 50;

/** Lines as SVG paths over one span of time: `[{name, d}]`. Weights lie in [0, 1]. */
export function linesOf(curves) {
  const finite = curves.map(({ name, points }) => ({
    name,
    points: points.filter(([at, weight]) => Number.isFinite(at) && Number.isFinite(weight)),
  }));
  const drawn = finite.filter(({ points }) => points.length > 0);
  const times = drawn.flatMap(({ points }) => [points[0][0], points.at(-1)[0]]);
  const [begin, end] = [Math.min(...times), Math.max(...times)];
  const span = Math.max(1, end - begin);
  const at = ([time, weight]) =>
    `${(((time - begin) / span) * WIDTH).toFixed(1)} ${((1 - Math.max(0, Math.min(1, weight))) * HEIGHT).toFixed(1)}`;
  return drawn.map(({ name, points }) => ({ name, d: `M${points.map(at).join("L")}` }));
}

/** The friends to list, and the number of further ones. */
export function friendsShown(friends, most = FRIENDS_MAX) {
  const names = (friends ?? []).map((friend) => (typeof friend === "string" ? friend : (friend.name ?? friend.id)));
  return { names: names.slice(0, most), more: Math.max(0, names.length - most) };
}

/** Draws the section; `parts` are its `details`, `lines`, `friends` and `words`. */
export class TopicHistory {
  #parts;
  #person = null;

  constructor(parts) {
    this.#parts = parts;
    parts.details.addEventListener("toggle", () => parts.details.open && this.#read());
  }

  /** Sets the user; an open section is read again. */
  open(person) {
    this.#person = person;
    this.#parts.lines.replaceChildren();
    this.#parts.friends.replaceChildren();
    if (this.#parts.details.open) this.#read();
  }

  async #read() {
    const person = this.#person;
    if (person === null) return;
    const { lines, friends, words } = this.#parts;
    setText(words, "Reading the journal\u2026");
    const [past, known] = await Promise.allSettled([server().topicHistory(person), server().user(person)]);
    if (person !== this.#person) return;
    if (known.status === "fulfilled") {
      const { names, more } = friendsShown(known.value.friends);
      friends.replaceChildren(...names.map((name) => element("li", {}, name)));
      if (more > 0) friends.append(element("li", {}, `and ${more} more`));
      if (names.length === 0) friends.append(element("li", {}, "No friends yet."));
    }
    if (past.status === "rejected") return setText(words, past.reason.message);
    const { topics, timedecay, exampledecay, truncated } = past.value;
    const weights = topics.map(({ topic, points }) => ({ name: topic, points }));
    lines.replaceChildren(
      chart("Topic weights", weights),
      chart("timedecay: a weight without interactions", timedecay),
      chart("exampledecay: a weight through interactions", exampledecay),
    );
    const nothing = topics.length === 0 ? "No topic has a weight yet." : "";
    setText(words, truncated ? "Older changes or further topics are left out." : nothing);
  }
}

function chart(title, curves) {
  const drawn = linesOf(curves);
  const label = `${title}: ${drawn.map(({ name }) => name).join(", ") || "nothing"}`;
  const paths = drawn.map(({ name, d }, index) =>
    picture("path", { class: "history-line", "--hue": hueAt(index), d }, picture("title", {}, name)),
  );
  return element(
    "figure",
    { class: "past-figure" },
    element("figcaption", {}, title),
    picture("svg", { viewBox: `-2 -2 ${WIDTH + 4} ${HEIGHT + 4}`, role: "img", "aria-label": label }, ...paths),
    element("ul", { class: "history-names" }, ...drawn.map(({ name }, index) => element("li", { "--hue": hueAt(index) }, name))),
  );
}
