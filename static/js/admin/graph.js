// The friend graph: users where the server has placed them, and a line between two of whom one follows the other.

import { hueOf, picture, setText } from "../element.js";
import { Drawing, sheet } from "./canvas.js";
import { short } from "./words.js";

const MARGIN = 14;
const HEIGHT_MAX = 760;

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
    const height = Math.min(width, HEIGHT_MAX);
    const place = (value, size) => MARGIN + ((value + 1) / 2) * (size - 2 * MARGIN);
    const at = people.map(({ x, y }) => [place(x, width).toFixed(1), place(y, height).toFixed(1)]);
    const unit = Math.max(1.4, Math.min(6, 60 / Math.sqrt(people.length || 1)));
    return sheet(
      width,
      height,
      `${people.length} people and ${edges.length} pairs of whom one follows the other`,
      picture("path", { class: "ties", d: edges.map(([one, other]) => `M${at[one].join(" ")}L${at[other].join(" ")}`).join("") }),
      ...people.map(({ id, name, friends }, index) =>
        picture(
          "circle",
          { class: "node", cx: at[index][0], cy: at[index][1], r: (unit * (0.5 + 0.3 * Math.sqrt(friends))).toFixed(1), "--hue": hueOf(id) },
          picture("title", {}, `${name ?? id}: ${friends}`),
        ),
      ),
    );
  }
}
