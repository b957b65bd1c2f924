// Time in view of each post, and its reports. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter, typeOf } from "../../static/js/metrics.js";

function meter() {
  let [now, ids] = [0, 0];
  const made = new Meter(() => now, () => `id-${++ids}`);
  return { made, wait: (ms) => (now += ms) };
}
const times = (batch) => batch.map(({ page_type, time_spent }) => `${page_type} ${time_spent}`);

test("what was in sight counts, what flew past does not", () => {
  const { made, wait } = meter();
  made.begin("a", "post");
  wait(500);
  made.begin("b", "channel");
  made.begin("a", "post"); // again: it is still in view
  wait(1_500);
  made.end("a");
  made.end("b");
  made.begin("c", "post");
  wait(999);
  made.end("c");
  made.end("c");
  made.end("never");
  const batch = made.take();
  assert.deepEqual(times(batch), ["post 2", "channel 1.5"]);
  assert.deepEqual(batch[0], { metric: "time_spent", page_type: "post", time_spent: 2, id: "id-1" });
  assert.deepEqual(made.take(), []);
});

test("a hidden page is not looked at", () => {
  const { made, wait } = meter();
  made.begin("a", "post");
  wait(3_000);
  made.pause();
  made.pause();
  assert.deepEqual(times(made.take()), ["post 3"], "told before it may be too late");
  made.begin("b", "post");
  wait(60_000);
  made.end("b");
  made.resume();
  wait(2_000);
  made.end("a");
  assert.deepEqual(times(made.take()), ["post 2"]);
});

test("a batch is no longer than a request may be, and a day no longer than a day", () => {
  const { made, wait } = meter();
  for (let n = 0; n < 130; n++) made.begin(n, "post");
  wait(200_000_000);
  for (let n = 0; n < 130; n++) made.end(n);
  const batch = made.take();
  assert.deepEqual([batch.length, made.take().length, made.take().length], [100, 30, 0]);
  assert.equal(batch[0].time_spent, 86_400);
  assert.equal(new Set(batch.map(({ id }) => id)).size, 100);
});

test("what comes and goes is a channel", () => {
  assert.deepEqual([{}, { live: false }, { live: true }, { available_until: 5 }].map(typeOf), ["post", "post", "channel", "channel"]);
});
