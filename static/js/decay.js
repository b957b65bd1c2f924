// How a topic weight fades: the exact flow of the decay curve, as the server computes it.
//
// With a = 5 * rate, u = a * weight and G(u) = u + sinh u, the value G falls linearly: by a^2 per horizon.
// So looking often or rarely gives the same weight.

export const HORIZON_MS = 7 * 86_400_000;
const RATE = 1;
const A = 5 * RATE;

const grow = (u) => u + Math.sinh(u);

/** The u >= 0 with u + sinh u = value, by Newton from asinh, which never lies below it. */
function shrink(value) {
  let u = Math.asinh(value);
  for (let round = 0; round < 30; round += 1) {
    const change = (grow(u) - value) / (1 + Math.cosh(u));
    u -= change;
    if (Math.abs(change) < 1e-15) break;
  }
  return Math.max(0, u);
}

/** The weight, in [0, 1], after `elapsed` milliseconds without any interaction. */
export function decayed(weight, elapsed) {
  const left = grow(A * weight) - (A * A * Math.max(0, elapsed)) / HORIZON_MS;
  return left <= 0 ? 0 : shrink(left) / A;
}

/** After how many milliseconds nothing of the weight is left. */
export function goneAfter(weight) {
  return (grow(A * weight) / (A * A)) * HORIZON_MS;
}
