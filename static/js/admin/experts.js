// The accuracy of predictions: the cumulative loss of each expert and of the served blend, and the regret over time.

import { element, picture, setText } from "../element.js";
import { WORDS, signed } from "../why.js";
import { Drawing, axes, line, sheet } from "./canvas.js";
import { scale, spanOf } from "./geometry.js";
import { amount, short } from "./words.js";

const HISTORY_MAX = 900;
const DEAF = "The blend without the two-tower model";
const OTHERS = { served: "What was served", blend: "The blend", blend_without_tower: DEAF, mixture: "Hedge mixture" };
const HEIGHT = 170;

export class Experts {
  #parts;
  #regret;
  #history = [];

  constructor(parts) {
    this.#parts = parts;
    this.#regret = new Drawing(parts.regret);
  }

  show({ at, learned }) {
    const { words, list, regretWords } = this.#parts;
    if (!learned || learned.hedge.rounds === 0) {
      setText(words, learned ? "Nothing was learned yet." : "The coordinator does not answer just now.");
      return;
    }
    const { hedge } = learned;
    const serving = hedge.leader ? (WORDS[hedge.leader] ?? OTHERS[hedge.leader] ?? hedge.leader) : "the blend";
    setText(words, `Mean log loss over ${short(hedge.rounds)} lessons, less is better. Served now: ${serving}.`);
    const all = [
      ...Object.entries(OTHERS).map(([key, name]) => ({ key, name, loss: hedge[key] })),
      ...Object.entries(hedge.experts).map(([key, loss]) => ({ key, name: WORDS[key] ?? key, loss, expert: true })),
    ].sort((left, right) => left.loss - right.loss);
    const most = Math.max(...all.map(({ loss }) => loss), 1e-9);
    list.replaceChildren(
      ...all.map(({ key, name, loss, expert }) =>
        element(
          "div",
          { class: `bar-row${expert ? "" : " ours"}${key === hedge.best ? " best" : ""}`, title: `${amount(loss)} nats in all` },
          element("span", { class: "bar-name" }, name, key === hedge.best && element("span", { class: "quiet" }, " best")),
          element("span", { class: "bar-track", "aria-hidden": "true" }, element("span", { class: "bar-fill", "--share": loss / most })),
          element("span", { class: "number" }, (loss / hedge.rounds).toFixed(4)),
        ),
      ),
    );
    this.#history = [...this.#history.filter(([before]) => before < at), [at, hedge.regret]].slice(-HISTORY_MAX);
    const sides = hedge.regret < 0 ? "less than the best single expert would have" : "more than the best single expert would have";
    setText(
      regretWords,
      `${signed(hedge.regret, 1)} nats: what was served lost ${amount(Math.abs(hedge.regret))} nats ${sides}. The mixture cannot exceed it by more than ${amount(hedge.bound)}.`,
    );
    this.#regret.show((width) => this.#draw(width));
  }

  #draw(width) {
    const box = { left: 52, right: width - 8, top: 10, bottom: HEIGHT - 40 };
    const began = this.#history[0][0];
    const points = this.#history.map(([at, regret]) => [(at - began) / 1000, regret]);
    const spanAcross = [0, Math.max(10, points.at(-1)[0])];
    const spanUp = spanOf([0, ...points.map(([, regret]) => regret)], 0.1);
    const [across, up] = [scale(spanAcross, [box.left, box.right]), scale(spanUp, [box.bottom, box.top])];
    const placed = points.map(([second, regret]) => [across(second), up(regret)]);
    const [x, y] = placed.at(-1);
    return sheet(
      width,
      HEIGHT,
      `Regret since this page was opened, from ${signed(points[0][1], 1)} to ${signed(points.at(-1)[1], 1)} nats`,
      axes(box, across, up, spanAcross, spanUp, ["seconds since this page was opened", ""]),
      picture("path", { class: "zero", d: `M${box.left} ${up(0)}H${box.right}` }),
      line(placed, "curve"),
      picture("circle", { class: "curve-dot", cx: x, cy: y, r: 3 }),
    );
  }
}
