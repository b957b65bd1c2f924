// Forms of the admin page: values of requests as texts of controls. Run: node --test tests/page/*.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FORM, SETTINGS, allColumns, columnsOf, moreOf } from "../../static/js/admin/clustering_specs.js";
import { cellsOf, formOfMetric, metricOf } from "../../static/js/admin/metric_specs.js";
import { differences, namesOf, objectOf, pairsOf, specOf, valuesOf } from "../../static/js/admin/values.js";

const settings = {
  columns: ["time_spent.post", "topic.sports"], scaling: "robust", kind: "student-t", components: 40, restarts: 15, noise: true,
  prior: { concentration: null, noise_share: 0.01, mean_strength: 0.01, freedom: 0, deviation: 0.1 },
  threshold: 10, points: { measured: 1, new_person: 5 }, schedule: "0 3 * * *", schedule_above: null, interval_s: 10,
};

test("the settings of a clustering survive the way through the form", () => {
  const values = valuesOf(SETTINGS, settings);
  assert.equal(values["prior.concentration"], "");
  assert.equal(values["points.new_person"], "5");
  assert.deepEqual(objectOf(SETTINGS, values), { object: settings, faults: [] });
  const kept = { ...settings, threshold: 99, points: { ...settings.points, unshown: 3, metrics: { mood: 3 } } };
  const { object } = objectOf(SETTINGS, values, kept);
  assert.deepEqual(object, { ...settings, points: { ...settings.points, unshown: 3 } });
});

test("points of single metrics survive the way through the form, and a part without a number is refused", () => {
  const named = { ...settings, points: { ...settings.points, metrics: { mood: 3, steps: 0 } } };
  const values = valuesOf(SETTINGS, named);
  assert.equal(values["points.metrics"], "mood=3, steps=0");
  assert.deepEqual(objectOf(SETTINGS, values), { object: named, faults: [] });
  assert.deepEqual(differences(SETTINGS, settings, named), ["points.metrics none \u2192 mood=3, steps=0"]);
  assert.deepEqual(["", "a = 1", "a", "a=", "=1", "a=b"].map(pairsOf), [{}, { a: 1 }, null, null, null, null]);
  assert.deepEqual(objectOf(SETTINGS, { ...values, "points.metrics": "mood" }).faults.map(({ field }) => field), ["points.metrics"]);
});

test("an empty number takes the server's default, and a word is refused at its field", () => {
  const values = { ...valuesOf(SETTINGS, settings), components: " ", "prior.freedom": "many" };
  const { object, faults } = objectOf(SETTINGS, values);
  assert.ok(!("components" in object));
  assert.deepEqual(faults, [{ field: "prior.freedom", message: "must be a number" }]);
});

test("an empty number shows the server's default, and the name stands under a heading of its own", () => {
  const recorded = JSON.parse(readFileSync(new URL("../../src/gateway/openapi/examples.json", import.meta.url)));
  const defaults = valuesOf(SETTINGS, recorded.readClustering["200"].settings);
  const shown = SETTINGS.filter(({ kind, nullable }) => kind === "number" && !nullable);
  assert.deepEqual(shown.map(({ name, empty }) => [name, Number(empty)]), shown.map(({ name }) => [name, Number(defaults[name])]));
  const { group } = FORM.find(({ name }) => name === "name");
  assert.deepEqual(FORM.filter((spec) => spec.group === group).map(({ name }) => name), ["name"]);
});

test("a fault of the server finds its field, also by a part of the path", () => {
  const names = ["columns", "prior.freedom", "points", "columns[2]", "name", ""].map((field) => specOf(SETTINGS, field)?.name ?? null);
  assert.deepEqual(names, ["columns", "prior.freedom", "points.measured", "columns", null, null]);
});

test("columns with a box and typed ones are joined, each once", () => {
  const offered = columnsOf([{ name: "time_spent", types: ["post", "feed"] }, { name: "visits", types: [] }]);
  assert.deepEqual(offered, ["time_spent", "time_spent.post", "time_spent.feed", "visits"]);
  assert.equal(moreOf(settings.columns, offered), "topic.sports");
  assert.deepEqual(allColumns(["visits"], " topic.sports, visits,, topic.a "), ["visits", "topic.sports", "topic.a"]);
  assert.deepEqual(namesOf(""), []);
});

test("differences of two revisions name the changed values alone", () => {
  const newer = { ...settings, threshold: 20, schedule: "", prior: { ...settings.prior, concentration: 1 } };
  assert.deepEqual(differences(SETTINGS, settings, newer), [
    "threshold 10 \u2192 20", "schedule 0 3 * * * \u2192 none", "prior.concentration none \u2192 1",
  ]);
  assert.deepEqual(differences(SETTINGS, settings, settings), []);
});

test("the declaration of a metric survives the way through the form", () => {
  const { name, ...declaration } = {
    name: "mood", kind: "value", unit: "points", range: [-5, 5], prior: { mean: 0, precision: 0.001, shape: 0.001, rate: 0.001 },
    types: ["day", "night"], attribute: null,
  };
  assert.deepEqual(metricOf(formOfMetric({ name, ...declaration })), { object: declaration, faults: [] });
  assert.deepEqual(cellsOf(declaration), ["value", "points", "\u22125 to 5", "day, night", "\u2013"]);
});

test("a range is two numbers or none", () => {
  const form = formOfMetric(null);
  assert.deepEqual(metricOf(form), { object: { kind: "value", unit: null, types: [], attribute: null }, faults: [] });
  assert.deepEqual(metricOf({ ...form, "range.low": "0" }).faults.map(({ field }) => field), ["range.high"]);
  assert.deepEqual(metricOf({ ...form, "range.high": "1" }).faults.map(({ field }) => field), ["range.low"]);
  assert.deepEqual(metricOf({ ...form, "range.low": "a", "range.high": "1" }).faults.map(({ field }) => field), ["range.low"]);
});
