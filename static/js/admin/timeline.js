// A timeline of availability: windows around now, as bars.

import { hueOf, picture, setText } from "../element.js";
import { ask } from "./ask.js";
import { Drawing, sheet } from "./canvas.js";
import { rows, scale, timeTicks } from "./geometry.js";
import { windowsOf } from "./windows.js";
import { clock, short } from "./words.js";

const HOUR_MS = 3_600_000;
const LIMIT = 500;
const ROWS_MAX = 14;
const ROW = 22;
const LETTER = 6.4;

export class Timeline {
  #parts;
  #drawing;
  /** Falls back to the items available now, for a server that cannot list a span. */
  #nowOnly = false;
  #again = () => {};

  constructor(parts) {
    this.#parts = parts;
    this.#drawing = new Drawing(parts.picture);
    parts.span.addEventListener("change", () => this.#again());
  }

  whenChanged(again) {
    this.#again = again;
  }

  #span() {
    const hours = Number(this.#parts.span.value);
    const now = Date.now();
    return [now - (hours * HOUR_MS) / 4, now + (hours * HOUR_MS * 3) / 4];
  }

  async ask() {
    const [from, to] = this.#span().map(Math.round);
    if (!this.#nowOnly) {
      try {
        return await ask(`/v1/availability?from=${from}&to=${to}&limit=${LIMIT}`);
      } catch (error) {
        if (error.kind !== "absent") throw error;
        this.#nowOnly = true;
      }
    }
    return ask(`/v1/availability?live=true&limit=${LIMIT}`);
  }

  show(answer) {
    const now = Date.now();
    const span = this.#span();
    const within = windowsOf(answer, now)
      .filter(({ start, stop }) => start !== null || stop !== null)
      .map((window) => ({ ...window, from: Math.max(span[0], window.start ?? -Infinity), to: Math.min(span[1], window.stop ?? Infinity) }))
      .filter(({ from, to }) => to > from)
      .sort((left, right) => left.from - right.from || left.to - right.to);
    const on = within.filter(({ from, to }) => from <= now && to > now).length;
    const later = within.filter(({ from }) => from > now).length;
    const more = answer.total > LIMIT && !this.#nowOnly ? ` The first ${short(LIMIT)} of ${short(answer.total)}.` : "";
    const words = `${short(on)} on now${this.#nowOnly ? "; what comes next this server does not list" : `, ${short(later)} to come, ${short(within.length - on - later)} over`}.${more}`;
    setText(this.#parts.words, words);
    this.#drawing.show((width) => drawn(within, span, now, width, words));
  }
}

function drawn(windows, span, now, width, words) {
  const [left, right, top] = [6, width - 6, 22];
  const across = scale(span, [left, right]);
  const placed = rows(windows.map(({ from, to }) => [across(from), across(to)]), 3);
  const shown = Math.min(ROWS_MAX, Math.max(1, ...placed.map((row) => row + 1)));
  const hidden = placed.filter((row) => row >= ROWS_MAX).length;
  const bottom = top + shown * ROW + 4;
  const height = bottom + (hidden ? 22 : 6);
  const marks = timeTicks(span, Math.max(2, Math.floor(width / 90))).flatMap((at) => {
    const x = across(at).toFixed(1);
    return [
      picture("path", { class: "rule", d: `M${x} ${top}V${bottom}` }),
      picture("text", { class: "mark", x, y: 14, "text-anchor": x < 40 ? "start" : x > width - 40 ? "end" : "middle" }, clock(at, now)),
    ];
  });
  const bars = windows.flatMap(({ item, text, start, stop, from, to }, index) => {
    if (placed[index] >= ROWS_MAX) return [];
    const [x, y, wide] = [across(from), top + placed[index] * ROW + 3, Math.max(2, across(to) - across(from))];
    const letters = Math.floor((wide - 10) / LETTER);
    const name = text ?? item;
    const when = `${start === null ? "always" : clock(start, now)} to ${stop === null ? "open end" : clock(stop, now)}`;
    return [
      picture(
        "rect",
        { class: `window${to <= now ? " over" : ""}`, "--hue": hueOf(item), x: x.toFixed(1), y, width: wide.toFixed(1), height: ROW - 4, rx: 4 },
        picture("title", {}, `${name}: ${when}`),
      ),
      letters >= 3 && picture("text", { class: "window-name", "--hue": hueOf(item), x: (x + 5).toFixed(1), y: y + 13 }, name.length > letters ? `${name.slice(0, letters - 1)}\u2026` : name),
    ];
  });
  return sheet(
    width,
    height,
    `Windows of availability: ${words}`,
    ...marks,
    ...bars,
    picture("path", { class: "now", d: `M${across(now).toFixed(1)} ${top}V${bottom}` }),
    hidden > 0 && picture("text", { class: "mark", x: left, y: height - 5 }, `and ${short(hidden)} more`),
  );
}
