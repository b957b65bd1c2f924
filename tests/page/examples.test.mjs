// The pure parts of the sample site.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PAGES, Visit, pageOf, rowsOf, verdict } from "../../static/js/examples/visits.js";

test("ten pages measure ten types, and an unknown fragment is the first page", () => {
  assert.equal(PAGES.map(({ name }) => name).join(""), "ABCDEFGHIJ");
  assert.equal(new Set(PAGES.map(({ type }) => type)).size, 10);
  for (const [hash, name] of [["#a", "A"], ["#J", "J"], ["", "A"], ["#page-title", "A"]]) assert.equal(pageOf(hash).name, name, hash);
});

test("a visit is measured once, and only if it lasted", () => {
  const visit = new Visit();
  assert.equal(visit.end(1_000), null, "no visit began");
  visit.begin("post", 1_000);
  assert.deepEqual(visit.end(3_500.4), { metric: "time_spent", type: "post", value: 2.5 });
  assert.equal(visit.end(9_000), null, "it ended before");
  visit.begin("feed", 9_000);
  assert.equal(visit.end(9_100), null, "on the way to another page");
  visit.begin("feed", 0);
  assert.equal(visit.end(9e9).value, 86_400, "a day at most");
});

const metric = (type, more) => ({ name: "time_spent", type, count: 3, value: 2, mean: 5, interval: [-1, 11], z: -1.5, atypical: false, ...more });

test("a row has the visitor's value beside that of all users", () => {
  const rows = rowsOf([metric("post"), metric(null, { interval: null, z: null }), { ...metric("feed"), name: "mood" }]);
  assert.equal(rows.length, 11);
  assert.deepEqual(rows[0].cells, ["3", "2.0", "5.0", "\u22121.0 to 11.0", "\u22121.50"]);
  assert.deepEqual(rows[1].cells, ["0", "\u2013", "\u2013", "\u2013", "\u2013"], "another metric of this type");
  assert.deepEqual(rows[10].cells, ["3", "2.0", "5.0", "\u2013", "\u2013"]);
});

test("the verdict names the pages on which the visitor is atypical", () => {
  assert.equal(verdict({ sigmas: 2, metrics: [] }), "No visit is known yet.");
  assert.match(verdict({ sigmas: 2, metrics: [metric("post")] }), /^Typical: within 2 /);
  const far = [metric("post", { atypical: true }), metric(null, { atypical: true })];
  assert.match(verdict({ sigmas: 2, metrics: far }), /^Atypical: more than 2 .* on page A, all pages together\.$/);
});
