// Tabs and words of the board of clusterings. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { busyReason, counterState, factsOf, fitWords, nameOfCluster, progressState } from "../../static/js/admin/clustering_words.js";
import { chosenOf, neighbour } from "../../static/js/admin/tabs.js";

test("arrow keys walk the tabs in a circle, other keys do not move", () => {
  const names = ["default", "pages", "topics"];
  const keys = ["ArrowRight", "ArrowLeft", "Home", "End", "Enter"];
  assert.deepEqual(keys.map((key) => neighbour(names, "default", key)), ["pages", "topics", "default", "topics", null]);
  assert.equal(neighbour(names, "topics", "ArrowRight"), "default");
  assert.equal(neighbour([], null, "ArrowLeft"), null);
});

test("a tab that is gone gives way to the first one", () => {
  assert.equal(chosenOf(["default", "pages"], "pages"), "pages");
  assert.equal(chosenOf(["default"], "pages"), "default");
  assert.equal(chosenOf([], "pages"), null);
});

test("the counter never exceeds its bar, and threshold 0 has no bar", () => {
  assert.deepEqual(counterState({ counter: 14, threshold: 10 }), { words: "14 of 10 points towards the next refit", value: 10, max: 10 });
  assert.equal(counterState({ counter: 1, threshold: 0 }).max, null);
  assert.match(counterState({ counter: 1, threshold: 0 }).words, /^1 point since/);
});

test("a fit under way shows its starts, and one that has just begun has none", () => {
  assert.equal(progressState(null), null);
  assert.deepEqual(progressState({ epoch: 4, starts_done: 3, starts: 15 }), { words: "Fit 4 under way: 3 of 15 starts done", value: 3, max: 15 });
  assert.deepEqual(progressState({ epoch: 4, starts_done: 0, starts: 0 }), { words: "Fit 4 begins", value: 0, max: 1 });
});

test("a request holds the button while the server says that it waits, and the fit is not refused", () => {
  const still = { under_way: null, requested: false, refused: null };
  assert.equal(busyReason(still), null);
  assert.match(busyReason({ ...still, requested: true }), /^Requested/);
  assert.equal(busyReason({ ...still, requested: true, refused: "too few people" }), null);
  assert.equal(busyReason({ ...still, under_way: {} }), "A fit is under way.");
});

test("facts leave out the absent ones", () => {
  const bare = factsOf({ next: null, settings: {}, fit: null, revision: 0, changed_at: null }, 0);
  assert.deepEqual(bare, ["No fit is scheduled.", "Settings: those of the configuration."]);
  const full = factsOf({ next: 1, settings: { schedule_above: 20 }, fit: { fitted_at: 1, seconds: 0.5, lower_bound: -1234.6, moved: 1 }, revision: 2, changed_at: 1 }, 0);
  assert.match(full[0], /at least 20 points/);
  assert.equal(full[1], "The last fit took 0.500 s, with a lower bound of \u22121,235; 1 person moved.");
});

test("a fit of the history is one line, with its date once weekdays repeat", () => {
  const at = new Date(2026, 10, 20, 14, 5).getTime();
  const fit = { epoch: 4, fitted_at: at, clusters: [{}, {}], people: 800, outliers: 12, seconds: 0.5, lower_bound: -2, moved: 40, maximum_binds: false };
  assert.equal(fitWords(fit, at), "14:05 \u00b7 2 clusters of 800 people, 12 in none; 40 moved; 0.500 s; lower bound \u22122.00");
  assert.match(fitWords({ ...fit, maximum_binds: true }, at + 9 * 86_400_000), /^20 Nov 2026 14:05 .*; more than its components allow$/);
});

test("a cluster without a name is called by its number", () => {
  assert.deepEqual([{ id: 3, name: null }, { id: 3, name: "night readers" }].map(nameOfCluster), ["3", "night readers"]);
});
