// Topic weights over time on the user's page. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { friendsShown, HEIGHT, linesOf, WIDTH } from "../../static/js/history.js";

test("lines share one span of time, and weights stay inside the picture", () => {
  const drawn = linesOf([
    { name: "a", points: [[1000, 1], [2000, 0]] },
    { name: "b", points: [[2000, 2], [3000, 0.5]] },
    { name: "empty", points: [] },
    { name: "broken", points: [[NaN, 1]] },
  ]);
  assert.deepEqual(drawn, [
    { name: "a", d: `M0.0 0.0L${WIDTH / 2}.0 ${HEIGHT}.0` },
    { name: "b", d: `M${WIDTH / 2}.0 0.0L${WIDTH}.0 ${HEIGHT / 2}.0` },
  ]);
  assert.deepEqual(linesOf([]), []);
  assert.deepEqual(linesOf([{ name: "once", points: [[5, 0]] }]), [{ name: "once", d: `M0.0 ${HEIGHT}.0` }]);
});

test("friends are listed up to a bound, and the rest is counted", () => {
  assert.deepEqual(friendsShown(["ada", { id: "bob", name: "Bob" }, { id: "cleo" }], 2), { names: ["ada", "Bob"], more: 1 });
  assert.deepEqual(friendsShown(undefined), { names: [], more: 0 });
});
