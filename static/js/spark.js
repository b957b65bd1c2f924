// Small line charts as SVG.

import { picture } from "./element.js";

export const WIDTH = 120;
export const HEIGHT = 32;

/** A line chart with an optional level line; `draw(points)` sets the line. Points are in [0, 1] by [0, 1]. */
export function spark(label, { level = null } = {}) {
  const area = picture("path", { class: "spark-area" });
  const line = picture("path", { class: "spark-line" });
  const dot = picture("circle", { class: "spark-dot", r: 2.5, hidden: true });
  const base = level !== null && picture("path", { class: "spark-level", d: `M0 ${y(level)}H${WIDTH}` });
  const svg = picture(
    "svg",
    { viewBox: `-3 -3 ${WIDTH + 6} ${HEIGHT + 6}`, class: "spark", preserveAspectRatio: "xMinYMid meet", role: "img", "aria-label": label },
    base,
    area,
    line,
    dot,
  );
  return {
    svg,
    /** `mark` is the index of the point with a dot. */
    draw(points, mark) {
      const d = points.map(([across, up], index) => `${index ? "L" : "M"}${x(across)} ${y(up)}`).join("");
      line.setAttribute("d", d);
      area.setAttribute("d", points.length ? `${d}L${x(points.at(-1)[0])} ${HEIGHT}L${x(points[0][0])} ${HEIGHT}Z` : "");
      const marked = points.at(mark);
      dot.toggleAttribute("hidden", !marked);
      if (marked) {
        dot.setAttribute("cx", x(marked[0]));
        dot.setAttribute("cy", y(marked[1]));
      }
    },
  };
}

const x = (across) => (across * WIDTH).toFixed(1);
const y = (up) => ((1 - Math.max(0, Math.min(1, up))) * HEIGHT).toFixed(2);
