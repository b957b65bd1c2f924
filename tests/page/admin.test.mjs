// Geometry and figures of the admin page. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bell, eigen, ellipse, histogram, marginal, posteriorCurve, reach, rows, scale, spanOf, ticks, timeTicks,
} from "../../static/js/admin/geometry.js";
import { amount, bytes, faultOfToken, plain, refusalWords, short } from "../../static/js/admin/words.js";
import { changes } from "../../static/js/accuracy.js";
import { Trend } from "../../static/js/admin/trend.js";
import { clusterOf, movements } from "../../static/js/admin/moves.js";
import { windowsOf } from "../../static/js/admin/windows.js";

const near = (left, right, within = 1e-9) => assert.ok(Math.abs(left - right) <= within, `${left} is not ${right}`);

test("each refusal of a token is said, and a text that no header carries is no token", () => {
  assert.equal(refusalWords("the token is not valid", true), "It was refused: the token is not valid");
  assert.equal(refusalWords("a token is needed", false), "", "no token was sent, so none was refused");
  assert.equal(faultOfToken("eyJhbGciOiJIUzI1NiJ9.e30.x_-"), "");
  for (const text of ["", "two words", "\u0442oken", "a\nb"]) assert.match(faultOfToken(text), /^This is no token/);
});

test("eigenvalues and direction of a covariance", () => {
  const along = eigen(9, 0, 4);
  assert.deepEqual(along.values, [9, 4]);
  near(along.angle, 0);
  near(Math.abs(eigen(4, 0, 9).angle), Math.PI / 2);
  const tilted = eigen(2, 1, 2);
  near(tilted.values[0], 3);
  near(tilted.values[1], 1);
  near(tilted.angle, Math.PI / 4);
  assert.equal(eigen(1, 1.0000001, 1).values[1], 0, "rounding makes no negative variance");
});

test("every point of an ellipse is so many standard deviations from the mean", () => {
  const [a, b, c] = [5, -2, 3];
  const determinant = a * c - b * b;
  for (const [x, y] of ellipse([10, -4], [a, b, c], 2, 40)) {
    const [dx, dy] = [x - 10, y + 4];
    near(Math.sqrt((c * dx * dx - 2 * b * dx * dy + a * dy * dy) / determinant), 2, 1e-9);
  }
  assert.deepEqual(ellipse([1, 2], [0, 0, 0], 2, 3), [[1, 2], [1, 2], [1, 2]], "without spread a point");
});

test("two columns are cut out of a covariance", () => {
  const covariance = [[1, 2, 3], [2, 5, 6], [3, 6, 9]];
  assert.deepEqual(marginal(covariance, 0, 2), [1, 3, 9]);
  assert.deepEqual(marginal(covariance, 2, 1), [9, 6, 5]);
});

test("a histogram counts each value once, in the bin of its group", () => {
  const values = [[1, 0], [1, 4.9], [2, 4.9], [null, 99], [2, -5], [1, NaN]];
  const { groups, highest } = histogram(values, [0, 10], 4);
  assert.deepEqual([...groups], [[1, [1, 1, 0, 0]], [2, [1, 1, 0, 0]], [null, [0, 0, 0, 1]]]);
  assert.equal(highest, 2);
  assert.deepEqual([...histogram([[1, 7]], [7, 7], 3).groups], [[1, [1, 0, 0]]], "an empty span divides by nothing");
  assert.equal(histogram([], [0, 1], 3).highest, 0);
});

test("spans and scales", () => {
  assert.deepEqual(spanOf([1, 3, NaN], 0.5), [0, 4]);
  assert.deepEqual(spanOf([]), [0, 1]);
  const [low, high] = spanOf([7, 7]);
  assert.ok(low < 7 && high > 7, "one value has room on both sides");
  const up = scale([0, 10], [100, 0]);
  assert.deepEqual([0, 5, 10].map(up), [100, 50, 0]);
  assert.equal(scale([3, 3], [0, 9])(3), 0, "an empty span divides by nothing");
});

test("marks are round numbers within the span", () => {
  assert.deepEqual(ticks([0, 10], 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks([-0.31, 0.29], 3), [-0.2, 0, 0.2]);
  assert.deepEqual(ticks([0, 0.3], 3), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(ticks([13, 28.5], 3), [15, 20, 25], "one mark at 20 would not do");
  assert.deepEqual(ticks([5, 5]), []);
  const hour = 3_600_000;
  assert.deepEqual(timeTicks([hour * 10.5, hour * 13.5], 4), [11, 12, 13].map((at) => at * hour));
});

test("quantiles of the bells are those of the tables", () => {
  near(reach(0.95), 1.959964, 1e-3);
  near(reach(0.95, 10), 2.228139, 1e-3);
  near(reach(0.95, 3), 3.182446, 2e-3);
  near(reach(0.5, 1), 1, 1e-3);
  assert.equal(bell(0, 5), 1);
  assert.ok(bell(4, 3) > bell(4), "Student's tails are heavier");
});

test("a posterior stands over the middle of its interval", () => {
  const curve = posteriorCurve([2, 6], 20);
  assert.equal(curve.length, 61);
  const [top] = curve.toSorted((left, right) => right[1] - left[1]);
  near(top[0], 4);
  near(top[1], 1);
  near(curve[0][0], 0);
  near(curve.at(-1)[0], 8);
  near(curve[0][1], curve.at(-1)[1]);
});

test("bars do not lie on each other", () => {
  assert.deepEqual(rows([[0, 5], [1, 3], [5, 9], [4, 6]]), [0, 1, 0, 1]);
});

test("a trend keeps what it has room for, and tells the rate of a counter", () => {
  const trend = new Trend(3);
  for (const [at, value] of [[0, 0], [1000, 10], [2000, 30], [4000, 30]]) trend.add(at, value);
  assert.deepEqual(trend.values(), [10, 30, 30]);
  assert.deepEqual(trend.rates(), [20, 0]);
  trend.add(5000, 4);
  assert.deepEqual(trend.rates(), [0], "a counter that fell was started again");
  trend.add(5000, 9);
  assert.equal(trend.values().at(-1), 4, "the same moment twice is one");
});

test("movements join the clusters of two fits by their ids", () => {
  const now = [{ id: 3, mean: [1, 2, 9] }, { id: 5, mean: [0, 0, 0] }];
  const before = [{ id: 3, mean: [4, 6, 9] }, { id: 4, mean: [1, 1, 1] }];
  assert.deepEqual(movements(now, before, 0, 1), [{ id: 3, from: [4, 6], to: [1, 2] }]);
  assert.deepEqual(movements(now, null, 0, 1), []);
  assert.deepEqual(movements(now, [{ id: 3, mean: [4] }], 0, 1), [], "a fit of other columns says nothing");
});

test("who is in no cluster", () => {
  const points = [{ cluster: 0, outlier: false }, { cluster: 2, outlier: 0.01 }, { cluster: 2, outlier: true }, { cluster: null, outlier: 0.9 }, {}];
  assert.deepEqual(points.map(clusterOf), [0, 2, null, null, null]);
});

test("windows are read from a span and from what is on now", () => {
  assert.deepEqual(
    windowsOf({ items: [{ item: "a", windows: [{ start: 1, stop: 5 }, { start: 9 }] }, { item: "b", windows: [] }] }, 0),
    [{ item: "a", start: 1, stop: 5 }, { item: "a", start: 9, stop: null }, { item: "b", start: null, stop: null }],
  );
  assert.deepEqual(windowsOf({ windows: [{ item: "a", start: 2, stop: 3, text: "x" }] }, 0), [
    { item: "a", start: 2, stop: 3, text: "x" },
  ]);
  assert.deepEqual(windowsOf({ items: [{ item: "c", available_until: 7 }] }, 4), [{ item: "c", start: 4, stop: 7 }]);
});

test("numbers are short and honest", () => {
  assert.deepEqual([0, 12, 1234, 12345, 1.5e6, 2.34e9].map(short), ["0", "12", "1,234", "12.3 k", "1.50 M", "2.34 G"]);
  assert.deepEqual([0, 0.01234, 1.5, 123.456, 98765, null].map(amount), ["0", "0.0123", "1.50", "123", "98,765", "\u2013"]);
  assert.deepEqual([512, 1536, 5 * 2 ** 20].map(bytes), ["512 B", "1.5 KiB", "5.0 MiB"]);
  assert.deepEqual([50, -0.2, 1234.5].map(plain), ["50", "\u22120.2", "1,234.5"]);
  assert.equal(amount(-0.5), "\u22120.500");
});

test("changes of taste are said in words, and none is not said", () => {
  assert.deepEqual([0, 1, 2, 5].map(changes).map((words) => words.split(",")[0]), [
    "", "your taste changed once", "your taste changed twice", "your taste changed 5 times",
  ]);
});
