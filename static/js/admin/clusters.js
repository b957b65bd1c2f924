// Clusters of users: two columns of the fit as a picture, or one as a histogram, and a table.

import { element, picture, setText } from "../element.js";
import { Drawing, axes, sheet } from "./canvas.js";
import { ellipse, histogram, marginal, path, scale, spanOf } from "./geometry.js";
import { nameOfCluster } from "./clustering_words.js";
import { NameEdit } from "./group_names.js";
import { clusterOf, movements } from "./moves.js";
import { amount, clock, short } from "./words.js";

const MOVED_PIXELS = 3;
const NAME_PIXELS = 11;
const BRIEF = 16;
const NAME_ROOM = 130;
const BAR_PIXELS = 14;
const nameOf = (column) => column.name ?? String(column);
/** A hue per cluster id; successive ids differ by the golden angle. */
const hue = (id) => Math.round((190 + 137.508 * id) % 360);

export class Clusters {
  #parts;
  #drawing;
  #fit = null;
  #said = "";
  #clustering = null;
  #names;

  /** `rename(clustering, cluster, name)` stores a name, and resolves once it is durable. */
  constructor(parts, rename) {
    this.#parts = parts;
    this.#names = new NameEdit((cluster, name) => rename(this.#clustering, cluster, name), () => this.#draw());
    this.#drawing = new Drawing(parts.picture);
    for (const select of [parts.across, parts.up]) select.addEventListener("change", () => this.#draw());
  }

  /** Shows the last fit of a clustering; `fit` null is none. */
  show(clustering, fit) {
    const said = JSON.stringify([clustering, fit?.epoch, fit?.people, fit?.points?.length, fit?.clusters?.map(nameOfCluster)]);
    if (said === this.#said) return;
    this.#said = said;
    this.#fit = fit;
    if (clustering !== this.#clustering) this.#names.isOpen = false;
    this.#clustering = clustering;
    const { across, up, words, table } = this.#parts;
    across.parentElement.hidden = !fit?.fitted_at;
    up.parentElement.hidden = !fit?.fitted_at || (fit.columns ?? []).length < 2;
    table.hidden = !fit?.fitted_at;
    if (!fit?.fitted_at) {
      setText(words, "No fit yet.");
      this.#drawing.show(() => "");
      return;
    }
    const names = (fit.columns ?? []).map(nameOf);
    for (const [select, chosen] of [[across, 0], [up, Math.min(1, names.length - 1)]]) {
      if ([...select.options].map(({ text }) => text).join() === names.join()) continue;
      select.replaceChildren(...names.map((name, index) => element("option", { value: index }, name)));
      select.value = chosen;
    }
    const counts = [`${short(fit.people)} people`, `${short(fit.clusters.length)} clusters`, `${short(fit.outliers)} in none`, ...(fit.maximum_binds ? ["more than its components allow"] : [])];
    setText(words, `${counts.join(", ")}; fit ${fit.epoch} of ${clock(fit.fitted_at, Date.now())}`);
    this.#draw();
  }

  #draw() {
    const fit = this.#fit;
    const [x, y] = [Number(this.#parts.across.value), Number(this.#parts.up.value)];
    if (!fit?.columns?.length || !fit.clusters) return;
    // A refreshed table would discard the name that a user is typing.
    if (!this.#names.isOpen) this.#table(fit, x, y);
    this.#drawing.show((width) => (x === y ? drawnAlone(fit, x, width) : drawn(fit, x, y, width)));
  }

  #table(fit, x, y) {
    const columns = [x, ...(x === y ? [] : [y])];
    const moved = new Map(movements(fit.clusters, fit.previous?.clusters, x, y).map((one) => [one.id, one]));
    const head = ["cluster", "people", "share", ...columns.map((column) => nameOf(fit.columns[column])), "moved"];
    const rows = [...fit.clusters]
      .sort((left, right) => right.size - left.size)
      .map(({ id, name, size, weight, mean, covariance }) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, element("span", { class: "swatch", "--hue": hue(id), "aria-hidden": "true" }), " ", this.#names.cell(id, name)),
          element("td", {}, short(size)),
          element("td", {}, `${(100 * weight).toFixed(0)} %`),
          ...columns.map((column) => element("td", {}, `${amount(mean[column])} \u00b1 ${amount(Math.sqrt(covariance[column][column]))}`)),
          element("td", {}, steps(moved.get(id), covariance, x, y)),
        ),
      );
    const { table } = this.#parts;
    const focused = table.contains(document.activeElement) ? document.activeElement.dataset.cluster : undefined;
    table.replaceChildren(
      element("caption", { class: "hidden" }, "Clusters: mean and standard deviation of the chosen columns"),
      element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows),
    );
    if (focused !== undefined) table.querySelector(`[data-cluster="${focused}"]`)?.focus();
  }
}

/** The distance that the mean moved, in standard deviations of the cluster. */
function steps(move, covariance, x, y) {
  if (!move) return "new";
  const along = (index, column) => (move.to[index] - move.from[index]) / Math.sqrt(covariance[column][column] || 1);
  const far = x === y ? Math.abs(along(0, x)) : Math.hypot(along(0, x), along(1, y));
  return far < 0.005 ? "\u2013" : `${far.toFixed(2)} \u03c3`;
}

function drawn(fit, x, y, width) {
  const height = Math.max(260, Math.min(460, Math.round(width * 0.66)));
  const box = { left: 54, right: width - 12, top: 26, bottom: height - 40 };
  const points = fit.points ?? [];
  const rings = fit.clusters.map((cluster) => ({
    ...cluster,
    ring: ellipse([cluster.mean[x], cluster.mean[y]], marginal(cluster.covariance, x, y)),
  }));
  const moves = movements(fit.clusters, fit.previous?.clusters, x, y);
  // Far outliers would shrink all clusters to a dot: the picture fits the clusters, and shows outliers at its edge.
  const within = points.filter((point) => clusterOf(point) !== null);
  const seen = (axis, column) => [
    ...(within.length ? within : points).map(({ values }) => values[column]),
    ...rings.flatMap(({ ring }) => ring.map((point) => point[axis])),
    ...moves.map(({ from }) => from[axis]),
  ];
  const [spanAcross, spanUp] = [spanOf(seen(0, x)), spanOf(seen(1, y))];
  const [across, up] = [scale(spanAcross, [box.left, box.right]), scale(spanUp, [box.bottom, box.top])];
  const place = ([right, high]) => [across(right), up(high)];
  const clamp = (pixel, low, high) => Math.min(Math.max(pixel, low), high);
  const inside = ([left, top]) => [clamp(left, box.left, box.right), clamp(top, box.top, box.bottom)];

  const dots = new Map();
  let crosses = "";
  for (const point of points) {
    const { values } = point;
    const cluster = clusterOf(point);
    const [left, top] = inside(place([values[x], values[y]])).map((pixel) => pixel.toFixed(1));
    // A line of length zero with round ends is a dot: one path per cluster draws thousands.
    if (cluster === null) crosses += `M${left} ${top}m-3-3l6 6m0-6l-6 6`;
    else dots.set(cluster, `${dots.get(cluster) ?? ""}M${left} ${top}h0`);
  }
  const label = `${fit.clusters.length} clusters over ${nameOf(fit.columns[x])} and ${nameOf(fit.columns[y])}; the table says the same in figures`;
  return sheet(
    width,
    height,
    label,
    picture(
      "defs",
      {},
      picture("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, picture("path", { class: "arrow-head", d: "M0 0L8 4L0 8Z" })),
    ),
    axes(box, across, up, spanAcross, spanUp, [nameOf(fit.columns[x]), nameOf(fit.columns[y])]),
    ...[...dots].map(([id, d]) => picture("path", { class: "dots", "--hue": hue(id), d })),
    picture("path", { class: "crosses", d: crosses }),
    ...rings.map(({ id, name, ring, size }) =>
      picture("path", { class: "ring", "--hue": hue(id), d: path(ring.map(place), true) }, picture("title", {}, `cluster ${nameOfCluster({ id, name })}: ${short(size)} people`)),
    ),
    ...moves.map(({ from, to }) => arrow(place(from), place(to))),
    ...rings.map(({ id, name, mean, ring }) => {
      const [left, top] = inside(tip(place([mean[x], mean[y]]), ring.map(place)));
      return picture("text", { class: "name", "--hue": hue(id), x: left.toFixed(1), y: (top + 4).toFixed(1), "text-anchor": name ? anchorOf(left, across(mean[x]), box) : "middle" }, brief(nameOfCluster({ id, name })));
    }),
  );
}

/** One column: a histogram of people, with the clusters one upon the other, and a line at the mean of each. */
function drawnAlone(fit, x, width) {
  const height = Math.max(220, Math.min(340, Math.round(width * 0.45)));
  const box = { left: 54, right: width - 12, top: 26, bottom: height - 40 };
  const points = fit.points ?? [];
  const within = points.filter((point) => clusterOf(point) !== null);
  const means = fit.clusters.map(({ mean }) => mean[x]);
  const spanAcross = spanOf([...(within.length ? within : points).map(({ values }) => values[x]), ...means]);
  const bins = Math.max(10, Math.min(60, Math.floor((box.right - box.left) / BAR_PIXELS)));
  const { groups, highest } = histogram(points.map((point) => [clusterOf(point), point.values[x]]), spanAcross, bins);
  const spanUp = [0, Math.max(1, highest) * 1.08];
  const [across, up] = [scale(spanAcross, [box.left, box.right]), scale(spanUp, [box.bottom, box.top])];
  const wide = (box.right - box.left) / bins;
  const below = new Array(bins).fill(0);
  // Outliers come last, on top of the clusters.
  const bars = [...groups].sort(([left], [right]) => (left === null) - (right === null) || left - right).map(([id, counts]) => {
    const d = counts.map((count, bin) => {
      if (count === 0) return "";
      const bottom = up(below[bin]);
      below[bin] += count;
      const [left, top] = [box.left + bin * wide, up(below[bin])];
      return `M${left.toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}h${(wide - 1).toFixed(1)}V${bottom.toFixed(1)}Z`;
    });
    return picture("path", id === null ? { class: "stack none", d: d.join("") } : { class: "stack", "--hue": hue(id), d: d.join("") });
  });
  const column = nameOf(fit.columns[x]);
  return sheet(
    width,
    height,
    `${fit.clusters.length} clusters over ${column}: people by value; the table says the same in figures`,
    axes(box, across, up, spanAcross, spanUp, [column, "people"]),
    ...bars,
    ...fit.clusters.map(({ id, mean }) => picture("path", { class: "mean", "--hue": hue(id), d: `M${across(mean[x]).toFixed(1)} ${box.top}V${box.bottom}` })),
    ...fit.clusters.map(({ id, name, mean }) => {
      const left = across(mean[x]);
      return picture("text", { class: "name", "--hue": hue(id), x: left.toFixed(1), y: box.top - 4, "text-anchor": name ? anchorOf(left, left, box) : "middle" }, brief(nameOfCluster({ id, name })));
    }),
  );
}

/** A name of at most so many characters, for the picture; the table has the whole one. */
const brief = (name) => ([...name].length > BRIEF ? `${[...name].slice(0, BRIEF - 1).join("")}\u2026` : name);

/** The anchor of a name: away from its ring where the picture has room, else towards it. */
function anchorOf(left, middle, box) {
  if (left < middle + NAME_PIXELS) return left < box.left + NAME_ROOM / 2 ? "start" : "middle";
  return left + NAME_ROOM > box.right ? "end" : "start";
}

/** The label's place just beyond the end of a ring, which separates clusters with one centre. */
function tip([left, top], ring) {
  const ends = ring.map(([right, high]) => [right - left, high - top]).filter(([along, down]) => along - down >= 0);
  const [along, down] = ends.reduce((most, end) => (Math.hypot(...end) > Math.hypot(...most) ? end : most), [0, 0]);
  const length = Math.hypot(along, down) || 1;
  return [left + along + (NAME_PIXELS * along) / length, top + down + (NAME_PIXELS * down) / length];
}

function arrow(from, to) {
  if (Math.hypot(to[0] - from[0], to[1] - from[1]) < MOVED_PIXELS) return null;
  return picture("path", { class: "arrow", d: path([from, to]), "marker-end": "url(#arrow)" });
}
