// The decay of topic weights, by the settings in `welcome`.
//
// Invariant: the results equal the server's. Along the exact flow, let a = 5 * rate, u = a * weight and G(u) = u + sinh
// u. Then G falls linearly, by a^2 per horizon, so the number of evaluations does not matter. By Euler's rule a weight
// takes one straight step from its last change, and never falls below 0.01.

/** The decay before the server's settings arrive: weights stand still, since any rate could be wrong. */
const STILL = Object.freeze({ after: (weight) => weight, endOf: () => Infinity, least: 0, horizon: null });

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

/** The function `f(x) = 2 / (1 + exp(5 r x))`, whose derivative drives the decay. */
export function logistic(x, rate) {
  return 2 / (1 + Math.exp(5 * rate * x));
}

/** The derivative of `logistic`: the change of a weight per horizon. */
export function slope(weight, rate) {
  return (-5 * rate) / (1 + Math.cosh(5 * rate * weight));
}

/** The decay of these settings; without whole settings weights do not change. */
export function decayOf(settings) {
  const good = (value) => Number.isFinite(value) && value > 0;
  if (!good(settings?.horizon_ms) || !good(settings?.rate)) return STILL;
  const horizon = settings.horizon_ms;
  const a = 5 * settings.rate;
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
  const loss = (weight) => -slope(weight, settings.rate);
  return {
    after: (weight, elapsed) =>
      elapsed <= 0 || weight <= 0 ? weight : Math.max(EULER_FLOOR, weight - (loss(weight) * elapsed) / horizon),
    endOf: (weight) => (Math.max(0, weight - EULER_FLOOR) / loss(weight)) * horizon,
    least: EULER_FLOOR,
    horizon,
  };
}
