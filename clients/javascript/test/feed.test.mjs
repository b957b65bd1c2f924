// Head and tail of the feed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Feed } from "../src/feed.js";
import { PatchError } from "../src/patch.js";

const items = (keys, from = 0) => [...keys].map((key, index) => ({ item: key, position: from + index, score: 0 }));
const message = (keys) => ({ version: 5, epoch: 1, ranking: "model", items: items(keys) });
const keys = (feed) => feed.items.map(({ item }) => item).join("");

test("a page goes below the head, and leaves it when it rises", () => {
  const feed = new Feed();
  feed.replace(message("abc"));
  feed.append({ after: 3, items: items("cde", 3), end: false });
  assert.equal(keys(feed), "abcde", "nothing is there twice");
  feed.change({ version: 6, base: 5, epoch: 1, ops: [{ op: "insert", item: { item: "e", position: 0 } }] });
  assert.equal(keys(feed), "eabcd");
  feed.removeFromTail("d");
  assert.equal(keys(feed), "eabc");
});

test("a patch of another version is refused, and changes nothing", () => {
  const feed = new Feed();
  feed.replace(message("abc"));
  assert.throws(() => feed.change({ version: 9, base: 8, epoch: 1, ops: [] }), PatchError);
  const misfit = { version: 6, base: 5, epoch: 1, ops: [{ op: "remove", item: "a" }, { op: "remove", item: "a" }] };
  assert.throws(() => feed.change(misfit), PatchError);
  assert.deepEqual([feed.version, keys(feed)], [5, "abc"]);
});

test("a reload restores what resuming needs, and only that", () => {
  const feed = new Feed();
  feed.replace(message("abc"));
  feed.append({ after: 3, items: items("de", 3), end: true });
  const restored = Feed.from(JSON.parse(JSON.stringify(feed)));
  assert.deepEqual([restored.version, restored.epoch, keys(restored)], [5, 1, "abc"]);
  for (const odd of [null, {}, { version: "5", epoch: 1, head: [] }]) assert.equal(Feed.from(odd).version, null);
});

test("live: on and off, in place", () => {
  const feed = new Feed();
  feed.replace(message("ab"));
  feed.setLive({ item: "b", available: true, until: 77 });
  assert.deepEqual([feed.items[1].live, feed.items[1].available_until], [true, 77]);
  feed.setLive({ item: "b", available: false });
  assert.equal(feed.items[1].live, false);
});
