// Figures of the judging pages: node --test tests/page

import assert from "node:assert/strict";
import { test } from "node:test";

import { area, change, corners, evidence, percent } from "../../static/js/judging/figures.js";

test("a probability is in percent, and never certain unless it is", () => {
  for (const [share, words] of [
    [0.5, "50.0 %"],
    [0, "0.0 %"],
    [1, "100.0 %"],
    [0.0004, "< 0.1 %"],
    [0.9996, "> 99.9 %"],
    [null, "\u2013"],
    [NaN, "\u2013"],
  ]) {
    assert.equal(percent(share), words);
  }
});

test("an area that is undefined is a dash", () => {
  assert.equal(area(0.75), "0.750");
  assert.equal(area(null), "\u2013");
  assert.equal(area(undefined), "\u2013");
});

test("a change has its sign, and none where it rounds to nothing", () => {
  assert.equal(change(0.4, 0.5), "+0.100");
  assert.equal(change(0.5, 0.4, 100, 1), "\u221210.0");
  assert.equal(change(0.5, 0.50001), "\u00b10");
  assert.equal(change(0.5, 0.49999), "\u00b10");
  assert.equal(change(NaN, 0.5), "\u2013");
});

test("without both labels the page says what a curve needs", () => {
  assert.equal(evidence({ positives: 1200, negatives: 3 }), "1,200 accepted, 3 rejected");
  assert.match(evidence({ positives: 2, negatives: 0 }), /2 accepted, 0 rejected: a ROC curve needs both/);
});

test("a curve begins at the lower left corner of its box and ends at the upper right one", () => {
  const box = { left: 10, right: 110, top: 20, bottom: 220 };
  assert.deepEqual(corners([[0, 0], [0.5, 0.75], [1, 1]], box), [[10, 220], [60, 70], [110, 20]]);
});
