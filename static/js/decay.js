// The decay of topic weights, by the settings in `welcome`.
//
// Invariant: the results equal the server's. Along the exact flow, let a = 5 * rate, u = a * weight and G(u) = u + sinh
// u. Then G falls linearly, by a^2 per horizon, so the number of evaluations does not matter. By Euler's rule a weight
// takes one straight step from its last change, and never falls below 0.01.

/** The defaults of the server, until `welcome` arrives. */
export const DEFAULTS = Object.freeze({ curve: "exact", rate: 1, horizon_ms: 7 * 86_400_000 });

const EULER_FLOOR = 0.01;
const grow = (u) => u + Math.sinh(u);

/** The u >= 0 with u + sinh u = value, by Newton's method from asinh, which is an upper bound. */
function shrink(value) {
  let u = Math.asinh(value);
  for (let round = 0; round < 60; round += 1) {
    const change = (grow(u) - value) / (1 + Math.cosh(u));
    u -= change;
    if (Math.abs(change) <= 1e-15 * Math.abs(u)) break;
  }
  return Math.max(0, u);
}

// Weights that differ by less count as equal; they stem from different instants.
const SAME = 0.005;

/** The change from which a weight decays after a new message: the previous one, unless the current weight differs. */
export function changeOf(decay, before, said, now) {
  const faded = decay.after(before.weight, now - before.since);
  return Math.abs(faded - said) <= SAME ? { weight: before.weight, since: before.since } : { weight: said, since: now };
}

/** The decay of these settings; defaults replace missing or invalid values. */
export function decayOf(settings) {
  const good = (value) => Number.isFinite(value) && value > 0;
  const horizon = good(settings?.horizon_ms) ? settings.horizon_ms : DEFAULTS.horizon_ms;
  const a = 5 * (good(settings?.rate) ? settings.rate : DEFAULTS.rate);
  const exact = {
    /** The weight, in [0, 1], after `elapsed` milliseconds without an interaction. */
    after(weight, elapsed) {
      if (elapsed <= 0) return weight;
      const left = grow(a * weight) - (a * a * elapsed) / horizon;
      return left <= 0 ? 0 : Math.min(weight, shrink(left) / a);
    },
    /** The milliseconds after which no weight falls further. */
    endOf: (weight) => (grow(a * weight) / (a * a)) * horizon,
    least: 0,
    horizon,
  };
  if (settings?.curve !== "euler") return exact;
  const slope = (weight) => a / (1 + Math.cosh(a * weight));
  return {
    after: (weight, elapsed) =>
      elapsed <= 0 || weight <= 0 ? weight : Math.max(EULER_FLOOR, weight - (slope(weight) * elapsed) / horizon),
    endOf: (weight) => (Math.max(0, weight - EULER_FLOOR) / slope(weight)) * horizon,
    least: EULER_FLOOR,
    horizon,
  };
}
