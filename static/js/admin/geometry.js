// The geometry of the pictures: ellipses of covariances, scales, curves of densities. Pure; tests/page/admin.test.mjs.

/**
 * Eigenvalues (the larger first) of [[a, b], [b, c]] and the direction of the larger one in radians, in (-pi/2, pi/2].
 * Values below 0 can come only from rounding, and count as 0.
 */
export function eigen(a, b, c) {
  const half = (a + c) / 2;
  const spread = Math.hypot((a - c) / 2, b);
  const angle = 0.5 * Math.atan2(2 * b, a - c);
  return { values: [Math.max(0, half + spread), Math.max(0, half - spread)], angle };
}

/** The cut of a covariance matrix for two of its columns: `[a, b, c]` of [[a, b], [b, c]]. */
export function marginal(covariance, across, up) {
  return [covariance[across][across], covariance[across][up], covariance[up][up]];
}

/**
 * The points of the ellipse of so many standard deviations around a mean, in the units of the columns. A polygon, since
 * axes with different scales distort the ellipse.
 */
export function ellipse(mean, [a, b, c], sigmas = 2, points = 48) {
  const { values, angle } = eigen(a, b, c);
  const [long, short] = values.map((value) => sigmas * Math.sqrt(value));
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return Array.from({ length: points }, (_, index) => {
    const turn = (2 * Math.PI * index) / points;
    const [x, y] = [long * Math.cos(turn), short * Math.sin(turn)];
    return [mean[0] + x * cos - y * sin, mean[1] + x * sin + y * cos];
  });
}

/** The smallest span that contains all numbers, with a margin; `[0, 1]` without numbers. */
export function spanOf(numbers, room = 0.05) {
  let [low, high] = [Infinity, -Infinity];
  for (const number of numbers) {
    if (!Number.isFinite(number)) continue;
    low = Math.min(low, number);
    high = Math.max(high, number);
  }
  if (low > high) return [0, 1];
  const pad = (high - low || Math.abs(high) || 1) * room;
  return [low - pad, high + pad];
}

/**
 * Counts of values in bins of equal width over a span, per group: `{groups: Map(group -> counts), highest}`, where `highest` is the
 * largest count of a bin over all groups. A value beyond the span counts in the bin at its end.
 */
export function histogram(values, [low, high], bins) {
  const groups = new Map();
  const totals = new Array(bins).fill(0);
  for (const [group, value] of values) {
    if (!Number.isFinite(value)) continue;
    const bin = Math.min(Math.max(Math.floor(((value - low) / (high - low || 1)) * bins), 0), bins - 1);
    const counts = groups.get(group) ?? new Array(bins).fill(0);
    groups.set(group, counts);
    counts[bin] += 1;
    totals[bin] += 1;
  }
  return { groups, highest: Math.max(0, ...totals) };
}

/** A linear scale from a span of values to a span of pixels. */
export function scale([low, high], [from, to]) {
  const factor = high > low ? (to - from) / (high - low) : 0;
  return (value) => from + (value - low) * factor;
}

/** Round ticks within a span, about so many and at least two if possible: steps of 1, 2 or 5 times a power of ten. */
export function ticks([low, high], about = 5) {
  if (!(high > low) || !Number.isFinite(high - low)) return [];
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const ends = (step) => [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  const steps = [1, 2, 5, 10].map((factor) => factor * power);
  const wanted = steps.findIndex((one) => one >= raw * 0.999);
  // A single tick gives a position, and no scale.
  const enough = steps.slice(0, wanted + 1).findLast((one) => ends(one)[1] > ends(one)[0]);
  const step = enough ?? steps[wanted];
  const [first, last] = ends(step);
  // Multiplies whole steps, so that errors do not add up; + 0 turns -0 into 0.
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)) + 0);
}

/** Ticks of a time axis in milliseconds: full minutes, hours or days, about so many. */
export function timeTicks([from, to], about = 6) {
  const steps = [60_000, 300_000, 900_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000];
  const step = steps.find((one) => (to - from) / one <= about) ?? steps.at(-1);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

/** Height of Student's t at `z`, as a share of its height at 0. Infinite freedom is the normal distribution. */
export function bell(z, freedom = Infinity) {
  if (!Number.isFinite(freedom)) return Math.exp((-z * z) / 2);
  return (1 + (z * z) / freedom) ** (-(freedom + 1) / 2);
}

/** The quantile of Student's t at `(1 + mass) / 2`: so many scales around the centre contain `mass`. */
export function reach(mass, freedom = Infinity) {
  // With t = tan(u) the whole line is a finite span, also for heavy tails.
  const steps = 4000;
  const width = Math.PI / 2 / steps;
  const height = (u) => bell(Math.tan(u), freedom) / Math.cos(u) ** 2;
  const areas = [0];
  for (let index = 0; index < steps; index += 1) areas.push(areas[index] + height((index + 0.5) * width) * width);
  const wanted = mass * areas.at(-1);
  const index = areas.findIndex((area) => area >= wanted);
  if (index <= 0) return 0;
  const share = (wanted - areas[index - 1]) / (areas[index] - areas[index - 1]);
  return Math.tan((index - 1 + share) * width);
}

/** The density curve of a posterior with `mass` within `interval`: `[value, share of the maximum]`. */
export function posteriorCurve([low, high], freedom = Infinity, { mass = 0.95, points = 60, wide = 2 } = {}) {
  const middle = (low + high) / 2;
  const half = (high - low) / 2;
  const scales = reach(mass, freedom);
  return Array.from({ length: points + 1 }, (_, index) => {
    const share = (2 * index) / points - 1;
    return [middle + share * wide * half, bell(share * wide * scales, freedom)];
  });
}

/** An SVG path through points. */
export function path(points, closed = false) {
  if (points.length === 0) return "";
  return `${points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("")}${closed ? "Z" : ""}`;
}

/** Assigns each bar `[from, to]` a row without overlaps, in the order of the bars. */
export function rows(bars, gap = 0) {
  const ends = [];
  return bars.map(([from, to]) => {
    let row = ends.findIndex((end) => end + gap <= from);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = to;
    return row;
  });
}
