// The friend graph: users where the server has placed them, and a line between two of whom one follows the other.

import { hueOf, picture, setText } from "../element.js";
import { Drawing, sheet } from "./canvas.js";
import { scale } from "./geometry.js";
import { short } from "./words.js";

const MARGIN = 14;
const HEIGHT_MAX = 760;
// More names, or a narrower picture, would cover the graph; each dot has its name as a tooltip.
const NAMED_MAX = 60;
const WIDE = 700;

/** A name beside its dot, on the side that has room. */
function label(name, [x, y], width) {
  const isRight = Number(x) > width - 140;
  return picture("text", { class: "mark", x: Number(x) + (isRight ? -9 : 9), y: Number(y) + 4, "text-anchor": isRight ? "end" : "start" }, name);
}

export class Graph {
  #parts;
  #drawing;
  #said = "";

  constructor(parts) {
    this.#parts = parts;
    this.#drawing = new Drawing(parts.picture);
  }

  show({ people, edges, known, edges_left_out: leftOut }) {
    const said = JSON.stringify([people, edges]);
    if (said === this.#said) return;
    this.#said = said;
    const some = people.length < known ? ` of ${short(known)}` : "";
    const cut = leftOut > 0 ? ` ${short(leftOut)} more are left out.` : "";
    setText(this.#parts.words, `${short(people.length)}${some} people, ${short(edges.length)} pairs of whom one follows the other.${cut}`);
    this.#drawing.show((width) => this.#draw(width, people, edges));
  }

  #draw(width, people, edges) {
    const [low, high] = people.reduce(([least, most], { y }) => [Math.min(least, y), Math.max(most, y)], [0, 0]);
    const height = Math.min((width * (high - low)) / 2 + 2 * MARGIN, HEIGHT_MAX);
    const across = scale([-1, 1], [MARGIN, width - MARGIN]);
    const down = scale([low, high], [MARGIN, height - MARGIN]);
    const at = people.map(({ x, y }) => [across(x).toFixed(1), down(y).toFixed(1)]);
    const unit = Math.max(1.4, Math.min(6, 60 / Math.sqrt(people.length || 1)));
    return sheet(
      width,
      height,
      `${people.length} people and ${edges.length} pairs of whom one follows the other`,
      picture("path", { class: "ties", d: edges.map(([one, other]) => `M${at[one].join(" ")}L${at[other].join(" ")}`).join("") }),
      ...people.map(({ user: id, name, friends }, index) =>
        picture(
          "circle",
          { class: "node", cx: at[index][0], cy: at[index][1], r: (unit * (0.5 + 0.3 * Math.sqrt(friends))).toFixed(1), "--hue": hueOf(id) },
          picture("title", {}, `${name ?? id}: ${friends}`),
        ),
      ),
      ...(people.length <= NAMED_MAX && width >= WIDE ? people.map(({ user: id, name }, index) => label(name ?? id, at[index], width)) : []),
    );
  }
}
