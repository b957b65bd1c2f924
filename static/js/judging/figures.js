// Figures of the judging pages as text and as geometry. Pure; tests/page/judging.test.mjs.

const NONE = "\u2013";
const MINUS = "\u2212";

/** A probability in percent, with one digit; never 0 or 100 for a value between them. */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** An area under a curve with three digits; a dash without one. */
export function area(auc) {
  return auc === null || auc === undefined || !Number.isFinite(auc) ? NONE : auc.toFixed(3);
}

/** The difference of two figures with its sign, in `unit` of this many per 1. */
export function change(before, after, per = 1, digits = 3) {
  if (![before, after].every(Number.isFinite)) return NONE;
  const by = ((after - before) * per).toFixed(digits);
  if (Number(by) === 0) return "\u00b10";
  return by.startsWith("-") ? by.replace("-", MINUS) : `+${by}`;
}

/** Why there is no area yet, or how many labels it has. */
export function evidence({ positives, negatives }) {
  const labels = `${positives.toLocaleString("en")} accepted, ${negatives.toLocaleString("en")} rejected`;
  if (positives > 0 && negatives > 0) return labels;
  return `${labels}: a ROC curve needs both`;
}

/** The corners of a ROC curve in pixels of a box with `left`, `right`, `top` and `bottom`. */
export function corners(curve, { left, right, top, bottom }) {
  return curve.map(([across, up]) => [left + across * (right - left), bottom - up * (bottom - top)]);
}
