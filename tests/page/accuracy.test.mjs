// Figures of the model on the page: which, and from when on. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWERS_MIN, figuresOf, words } from "../../static/js/accuracy.js";
import { meaning } from "../../static/js/why.js";

const model = { auc: 0.99, log_loss: 0.1, auc_model: 0.8, auc_topics: 0.7, log_loss_model: 0.5, positives: 30, negatives: 12, labelled: 42, events: 50 };

test("how well it knows you is the AUC of the ranking on screen", () => {
  assert.deepEqual(figuresOf(model, "model"), { auc: 0.8, logLoss: 0.5 });
  assert.deepEqual(figuresOf(model, "topics"), { auc: 0.7, logLoss: null });
  assert.deepEqual(figuresOf(model, "flat"), { auc: null, logLoss: null });
  assert.match(words(model, "model"), /mostly tells/);
  assert.match(words(model, "topics"), /begins to tell/);
  assert.match(words(model, "flat"), /foretells nothing/);
});

test("a figure with few answers of either kind is not shown", () => {
  for (const few of [{ positives: ANSWERS_MIN - 1 }, { negatives: 0 }, { positives: undefined }]) {
    assert.deepEqual(figuresOf({ ...model, ...few }, "model"), { auc: null, logLoss: null });
  }
  assert.match(words({ ...model, negatives: 3 }, "model"), /so far 30 and 3$/);
  assert.match(words(null, "model"), /so far 0 and 0$/);
  assert.deepEqual(figuresOf({ ...model, auc_model: undefined }, "model").auc, null);
});

test("likely is the calibrated probability, and nothing where there is none", () => {
  // The logistic of the score would give 94 %.
  const score = Math.log(0.94 / 0.06);
  assert.equal(meaning({ score, likely: 0.6 }, "model"), "Score: 60 % likely that you want it");
  assert.equal(meaning({ score }, "model"), "Score");
  assert.equal(meaning({ score, likely: 0.6 }, "topics"), "Score");
  assert.equal(meaning({ score, likely: 0.9999 }, "model"), "Score: 99 % likely that you want it");
  assert.equal(meaning({ score, likely: 0.0001 }, "model"), "Score: 1 % likely that you want it");
});
