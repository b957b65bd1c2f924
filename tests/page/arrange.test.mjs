// The order of the cards on screen: a kept card never moves, and below the kept cards the stream's order holds.

import assert from "node:assert/strict";
import test from "node:test";

import { arrange, kept } from "../../static/js/arrange.js";

test("without kept cards the screen is the stream", () => {
  assert.deepEqual(arrange(["a", "b"], ["c", "b", "a"], 0), { order: ["c", "b", "a"], fresh: 0, differs: false });
});

test("a card that the user acted on keeps its place, with all cards above it", () => {
  const shown = ["a", "b", "c", "d"];
  const keep = kept(shown, new Set(["b"]), false);
  assert.equal(keep, 2);
  const { order, fresh, differs } = arrange(shown, ["d", "e", "c", "a"], keep);
  assert.deepEqual(order, ["a", "b", "d", "e", "c"]);
  assert.equal(fresh, 0);
  assert.ok(differs);
});

test("while the user reads nothing moves, and new items are counted", () => {
  const shown = ["a", "b", "c"];
  const keep = kept(shown, new Set(), true);
  const { order, fresh, differs } = arrange(shown, ["n", "c", "m", "a", "b"], keep);
  assert.deepEqual(order, shown);
  assert.equal(fresh, 2);
  assert.ok(differs);
});

test("a page below the stream is added while the user reads", () => {
  const { order, fresh, differs } = arrange(["a", "b"], ["a", "b", "c", "d"], 2);
  assert.deepEqual({ order, fresh, differs }, { order: ["a", "b", "c", "d"], fresh: 0, differs: false });
});

test("for any streams the kept cards stay and no item is shown twice or lost below them", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  const some = () => [..."abcdefgh"].filter(() => random(3) > 0).sort(() => random(3) - 1);
  for (let round = 0; round < 2000; round += 1) {
    const [shown, wanted] = [some(), some()];
    const keep = random(shown.length + 1);
    const { order, fresh } = arrange(shown, wanted, keep);
    assert.deepEqual(order.slice(0, keep), shown.slice(0, keep));
    assert.equal(new Set(order).size, order.length);
    const missing = wanted.filter((key) => !order.includes(key)).length;
    assert.equal(missing, fresh);
    if (keep < shown.length) assert.equal(missing, 0);
  }
});
