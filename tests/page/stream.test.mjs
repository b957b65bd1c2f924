// Head and tail of what is shown, and the decay that the page animates. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { HORIZON_MS, decayed, goneAfter } from "../../static/js/decay.js";
import { PatchError } from "../../static/js/patch.js";
import { Stream } from "../../static/js/stream.js";

const items = (keys, from = 0) => [...keys].map((key, index) => ({ item: key, position: from + index, score: 0 }));
const feed = (keys) => ({ version: 5, epoch: 1, ranking: "model", items: items(keys) });
const keys = (stream) => stream.items.map(({ item }) => item).join("");

test("a page goes below the head, and leaves it when it rises", () => {
  const stream = new Stream();
  stream.replace(feed("abc"));
  stream.append({ after: 3, items: items("cde", 3), end: false });
  assert.equal(keys(stream), "abcde", "nothing is there twice");
  stream.change({ version: 6, base: 5, epoch: 1, ops: [{ op: "insert", item: { item: "e", position: 0 } }] });
  assert.equal(keys(stream), "eabcd");
  stream.removeFromTail("d");
  assert.equal(keys(stream), "eabc");
});

test("a patch of another version is refused, and changes nothing", () => {
  const stream = new Stream();
  stream.replace(feed("abc"));
  assert.throws(() => stream.change({ version: 9, base: 8, epoch: 1, ops: [] }), PatchError);
  const misfit = { version: 6, base: 5, epoch: 1, ops: [{ op: "remove", item: "a" }, { op: "remove", item: "a" }] };
  assert.throws(() => stream.change(misfit), PatchError);
  assert.deepEqual([stream.version, keys(stream)], [5, "abc"]);
});

test("a reload restores what resuming needs, and only that", () => {
  const stream = new Stream();
  stream.replace(feed("abc"));
  stream.append({ after: 3, items: items("de", 3), end: true });
  const restored = Stream.from(JSON.parse(JSON.stringify(stream)));
  assert.deepEqual([restored.version, restored.epoch, keys(restored)], [5, 1, "abc"]);
  for (const odd of [null, {}, { version: "5", epoch: 1, head: [] }]) assert.equal(Stream.from(odd).version, null);
});

test("live: on and off, in place", () => {
  const stream = new Stream();
  stream.replace(feed("ab"));
  stream.setLive({ item: "b", available: true, until: 77 });
  assert.deepEqual([stream.items[1].live, stream.items[1].available_until], [true, 77]);
  stream.setLive({ item: "b", available: false });
  assert.equal(stream.items[1].live, false);
});

test("decaying in two steps is decaying in one", () => {
  for (const weight of [0.01, 0.2, 0.5, 0.9, 1]) {
    for (const elapsed of [1, 3_600_000, HORIZON_MS / 10, HORIZON_MS]) {
      const once = decayed(weight, 2 * elapsed);
      assert.ok(Math.abs(decayed(decayed(weight, elapsed), elapsed) - once) < 1e-9, `${weight} ${elapsed}`);
      assert.ok(once <= weight && once >= 0);
    }
  }
});

test("the decay begins along f'(s) and ends at 0 when it should", () => {
  // f'(0.5) = -5 / (1 + cosh 2.5), per horizon.
  const slope = (decayed(0.5, HORIZON_MS / 1e6) - 0.5) * 1e6;
  assert.ok(Math.abs(slope - -5 / (1 + Math.cosh(2.5))) < 1e-4);
  assert.ok(decayed(0.5, goneAfter(0.5) * 0.999) > 0);
  assert.equal(decayed(0.5, goneAfter(0.5) * 1.001), 0);
  assert.equal(decayed(0, 1), 0);
});
