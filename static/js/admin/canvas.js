// Drawings as wide as their container, so that text and dots have an equal size on a phone and on a desktop.

import { picture } from "../element.js";
import { path, ticks } from "./geometry.js";
import { plain } from "./words.js";

/** Redraws whenever the container changes its width: `draw(width)` returns the new content of `place`. */
export class Drawing {
  #place;
  #draw = null;
  #width = 0;

  constructor(place) {
    this.#place = place;
    new ResizeObserver(([{ contentRect }]) => {
      const width = Math.floor(contentRect.width);
      if (width === this.#width) return;
      this.#width = width;
      this.#again();
    }).observe(place);
  }

  show(draw) {
    this.#draw = draw;
    this.#width ||= Math.floor(this.#place.clientWidth);
    this.#again();
  }

  #again() {
    if (this.#draw && this.#width > 0) this.#place.replaceChildren(this.#draw(this.#width));
  }
}

export function sheet(width, height, label, ...children) {
  return picture("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);
}

/** Ticks and grid lines of both axes, within a box of pixels. */
export function axes(box, across, up, spanAcross, spanUp, names = ["", ""]) {
  const parts = [];
  const room = { across: Math.max(2, Math.floor((box.right - box.left) / 75)), up: Math.max(2, Math.floor((box.bottom - box.top) / 50)) };
  for (const value of ticks(spanAcross, room.across)) {
    const x = across(value).toFixed(1);
    parts.push(picture("path", { class: "rule", d: `M${x} ${box.top}V${box.bottom}` }));
    // The last label would cross the edge.
    const anchor = x > box.right - 14 ? "end" : "middle";
    parts.push(picture("text", { class: "mark", x, y: box.bottom + 16, "text-anchor": anchor }, plain(value)));
  }
  for (const value of ticks(spanUp, room.up)) {
    const y = up(value).toFixed(1);
    parts.push(picture("path", { class: "rule", d: `M${box.left} ${y}H${box.right}` }));
    parts.push(picture("text", { class: "mark", x: box.left - 6, y: Number(y) + 4, "text-anchor": "end" }, plain(value)));
  }
  const [nameAcross, nameUp] = names;
  if (nameAcross) parts.push(picture("text", { class: "axis", x: box.right, y: box.bottom + 32, "text-anchor": "end" }, nameAcross));
  if (nameUp) parts.push(picture("text", { class: "axis", x: box.left - 6, y: box.top - 8 }, nameUp));
  return picture("g", { class: "axes", "aria-hidden": "true" }, ...parts);
}

/** A line through points in pixels. */
export function line(points, name) {
  return picture("path", { class: name, d: path(points) });
}
