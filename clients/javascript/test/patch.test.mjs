// Patches of the server, applied to the shown list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PatchError, applyOperations } from "../src/patch.js";

const item = (key, position, more = {}) => ({ item: key, text: `text of ${key}`, score: 1, position, ...more });
const list = (keys) => [...keys].map((key, position) => item(key, position));
const keys = (items) => items.map(({ item }) => item).join("");

const fits = [
  ["nothing", "abc", [], "abc"],
  ["remove the first", "abc", [{ op: "remove", item: "a" }], "bc"],
  ["remove the last one there is", "a", [{ op: "remove", item: "a" }], ""],
  ["move down: the position counts after it was taken out", "abcd", [{ op: "move", item: "a", position: 2 }], "bcad"],
  ["move up", "abcd", [{ op: "move", item: "d", position: 0 }], "dabc"],
  ["move to the end", "abcd", [{ op: "move", item: "b", position: 3 }], "acdb"],
  ["move to where it is", "abc", [{ op: "move", item: "b", position: 1 }], "abc"],
  ["insert at the top", "ab", [{ op: "insert", item: item("x", 0) }], "xab"],
  ["insert at the end", "ab", [{ op: "insert", item: item("x", 2) }], "abx"],
  ["insert into nothing", "", [{ op: "insert", item: item("x", 0) }], "x"],
  ["update stays, whatever position it names", "abc", [{ op: "update", item: item("b", 0) }], "abc"],
  [
    "each step sees the list as the last one left it",
    "abcd",
    [
      { op: "remove", item: "b" },
      { op: "insert", item: item("x", 1) },
      { op: "move", item: "d", position: 0 },
      { op: "insert", item: item("b", 4) },
    ],
    "daxcb",
  ],
];
for (const [name, before, operations, after] of fits) {
  test(name, () => {
    const found = applyOperations(list(before), operations);
    assert.equal(keys(found), after);
    assert.deepEqual(found.map(({ position }) => position), [...found.keys()], "position is the index");
  });
}

const misfits = [
  ["remove what is not there", [{ op: "remove", item: "x" }]],
  ["move what is not there", [{ op: "move", item: "x", position: 0 }]],
  ["update what is not there", [{ op: "update", item: item("x", 0) }]],
  ["insert what is there", [{ op: "insert", item: item("a", 0) }]],
  ["insert past the end", [{ op: "insert", item: item("x", 4) }]],
  ["move past the end", [{ op: "move", item: "a", position: 3 }]],
  ["a position below 0", [{ op: "move", item: "a", position: -1 }]],
  ["no position", [{ op: "move", item: "a" }]],
  ["an unknown operation", [{ op: "swap", item: "a" }]],
];
for (const [name, operations] of misfits) {
  test(`refused: ${name}`, () => assert.throws(() => applyOperations(list("abc"), operations), PatchError));
}

test("an update brings its new face", () => {
  const [, second] = applyOperations(list("ab"), [{ op: "update", item: item("b", 1, { score: 9, live: true }) }]);
  assert.equal(second.score, 9);
  assert.equal(second.live, true);
});

test("a move keeps score and text", () => {
  const [first] = applyOperations(list("ab"), [{ op: "move", item: "b", position: 0 }]);
  assert.deepEqual(first, item("b", 0));
});

test("the list that came in is as it was, also when a later operation is refused", () => {
  const before = list("abc");
  const copy = structuredClone(before);
  applyOperations(before, [{ op: "move", item: "c", position: 0 }]);
  assert.throws(() => applyOperations(before, [{ op: "remove", item: "a" }, { op: "remove", item: "a" }]), PatchError);
  assert.deepEqual(before, copy);
});

test("from any list to any other, by remove, insert and move", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const shuffled = () => [..."abcdefghij"].filter(() => random(3)).sort(() => random(3) - 1);
  for (let round = 0; round < 500; round += 1) {
    const [before, after] = [shuffled(), shuffled()];
    const now = [...before];
    const operations = [];
    for (const key of before) {
      if (after.includes(key)) continue;
      operations.push({ op: "remove", item: key });
      now.splice(now.indexOf(key), 1);
    }
    after.forEach((key, position) => {
      const place = now.indexOf(key);
      if (place === position) return;
      if (place < 0) operations.push({ op: "insert", item: item(key, position) });
      else operations.push({ op: "move", item: key, position }), now.splice(place, 1);
      now.splice(position, 0, key);
    });
    assert.equal(keys(applyOperations(list(before), operations)), after.join(""));
  }
});
