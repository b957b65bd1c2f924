// The decay that the page animates. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { changeOf, decayOf, logistic, slope } from "../../static/js/decay.js";
import { fate, span } from "../../static/js/model.js";

const DAY_MS = 86_400_000;
const USUAL = { curve: "exact", rate: 1, horizon_ms: 7 * DAY_MS };
const SETTINGS = [USUAL, { curve: "exact", rate: 3, horizon_ms: DAY_MS }, { curve: "exact", rate: 0.25, horizon_ms: 60_000 }];

test("decaying in two steps is decaying in one, at any rate and horizon", () => {
  for (const settings of SETTINGS) {
    const { after, horizon } = decayOf(settings);
    assert.equal(horizon, settings.horizon_ms);
    for (const weight of [0.01, 0.2, 0.5, 0.9, 1]) {
      for (const elapsed of [1, horizon / 100, horizon / 10, horizon]) {
        const once = after(weight, 2 * elapsed);
        assert.ok(Math.abs(after(after(weight, elapsed), elapsed) - once) < 1e-9, `${weight} ${elapsed}`);
        assert.ok(once <= weight && once >= 0);
      }
    }
  }
});

test("the decay begins along f'(s) and ends at 0 when it should", () => {
  for (const settings of SETTINGS) {
    const { after, endOf, horizon } = decayOf(settings);
    // f'(s) = -a / (1 + cosh(a s)) per horizon, with a = 5 * rate.
    const a = 5 * settings.rate;
    const slope = (after(0.5, horizon / 1e6) - 0.5) * 1e6;
    assert.ok(Math.abs(slope - -a / (1 + Math.cosh(a / 2))) < 1e-4 * a, `${slope}`);
    assert.ok(after(0.5, endOf(0.5) * 0.999) > 0);
    assert.equal(after(0.5, endOf(0.5) * 1.001), 0);
    assert.equal(after(0, 1), 0);
  }
});

test("the page fades a weight as the server of these settings does", () => {
  // From `decay_exact` and `decay_euler` of the server.
  const exact = decayOf({ curve: "exact", rate: 3, horizon_ms: DAY_MS });
  const quarter = exact.after(0.5, DAY_MS / 4);
  const grown = (s) => 15 * s + Math.sinh(15 * s);
  assert.ok(Math.abs(grown(quarter) - (grown(0.5) - 225 / 4)) < 1e-9, "G falls by a^2 per horizon");
  const euler = decayOf({ curve: "euler", rate: 3, horizon_ms: DAY_MS });
  assert.ok(Math.abs(euler.after(0.2, DAY_MS / 50) - (0.2 - 15 / (1 + Math.cosh(3)) / 50)) < 1e-12);
  assert.equal(euler.after(0.2, 900 * DAY_MS), 0.01, "Euler's weights never fall below a hundredth");
  assert.ok(Math.abs(euler.after(0.2, euler.endOf(0.2)) - 0.01) < 1e-12);
});

test("without the server's settings the page invents none: a weight stands still", () => {
  for (const settings of [undefined, null, {}, { rate: 0, horizon_ms: -1 }, { rate: NaN, horizon_ms: "7" }, { rate: 1 }]) {
    const decay = decayOf(settings);
    assert.equal(decay.after(0.7, DAY_MS), 0.7);
    assert.equal(fate(decay, 0.7), "");
  }
});

test("the decay functions have the values of an independent computation", () => {
  // Python 3: 2/(1+math.exp(5*r*x)) and -10*r*math.exp(5*r*x)/(1+math.exp(5*r*x))**2; the weights are 200,000
  // Runge-Kutta steps along ds/dtau = f'(s), as in src/engine/learners/person/topics.rs.
  const close = (left, right, within = 1e-12) => assert.ok(Math.abs(left - right) < within, `${left} is not ${right}`);
  for (const [x, value, derivative] of [
    [0, 1, -2.5],
    [0.5, 0.1517163600424871, -0.7010371654510816],
    [1, 0.013385701848569711, -0.06648056670790155],
  ]) {
    close(logistic(x, 1), value);
    close(slope(x, 1), derivative);
  }
  const { after } = decayOf(USUAL);
  for (const [weight, horizons, expected] of [[1, 0.5, 0.9636971668], [1, 1, 0.9194715182], [1, 2, 0.7847077476], [0.5, 0.25, 0.2097193759]]) {
    close(after(weight, horizons * USUAL.horizon_ms), expected, 1e-9);
  }
  const { after: half } = decayOf({ curve: "exact", rate: 0.5, horizon_ms: 3_600_000 });
  close(half(1, 3_600_000), 0.4194387519, 1e-9);
});

test("what becomes of a weight is said in words that fit any rate and horizon", () => {
  const said = (settings, ...weights) => weights.map((weight) => fate(decayOf(settings), weight));
  assert.deepEqual(said(USUAL, 0, 0.5, 1), ["forgotten", "gone in 2 d", "gone in 22 d"]);
  assert.deepEqual(said({ curve: "exact", rate: 3, horizon_ms: DAY_MS }, 0.1, 0.5, 1), ["gone in 23 min", "gone in 4 d", "stays for years"]);
  assert.deepEqual(said({ curve: "exact", rate: 100, horizon_ms: DAY_MS }, 1), ["stays for years"]);
  assert.deepEqual(said({ curve: "euler", rate: 1, horizon_ms: DAY_MS }, 0.01, 0.5), ["stays", "at 0.01 in 16 h"]);
});

test("a span is said in the largest unit that says it in whole numbers", () => {
  const said = [7 * DAY_MS, DAY_MS, 90 * 60_000, 1_000, DAY_MS + 1, 500].map(span);
  assert.deepEqual(said, ["7 days", "1 day", "90 minutes", "1 second", "about 24 hours", "about 1 second"]);
});

test("a weight that is only said again goes on from its last change, by either curve", () => {
  for (const curve of ["exact", "euler"]) {
    const decay = decayOf({ curve, rate: 1, horizon_ms: 60_000 });
    const server = (now) => decay.after(0.5, now);
    let row = { weight: 0.5, since: 0 };
    // Another change of the user's model arrives every second.
    for (let now = 1_000; now <= 23_000; now += 1_000) row = changeOf(decay, row, server(now), now);
    assert.deepEqual(row, { weight: 0.5, since: 0 });
    assert.equal(decay.after(row.weight, 23_100 - row.since), server(23_100), curve);
    // An interaction is a change.
    assert.deepEqual(changeOf(decay, row, 0.6, 24_000), { weight: 0.6, since: 24_000 });
  }
});
