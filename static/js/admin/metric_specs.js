// The declaration of a metric as fields of a form. Pure; tests/page/forms.test.mjs.

import { objectOf, valuesOf } from "./values.js";
import { plain } from "./words.js";

const [values, prior] = ["Values", "Prior of the mean over all people"];

export const DECLARATION = Object.freeze([
  { name: "kind", label: "Kind", kind: "select", group: values, options: [["value", "value"], ["duration", "duration"], ["count", "count"], ["ratio", "ratio"]] },
  { name: "unit", label: "Unit", kind: "text", nullable: true, group: values, hint: "empty: that of the kind" },
  { name: "range.low", label: "Lowest value", kind: "number", group: values, hint: "both empty: range of the kind" },
  { name: "range.high", label: "Highest value", kind: "number", group: values },
  { name: "types", label: "Types, as post, feed", kind: "list", group: values, hint: "empty: without types" },
  { name: "attribute", label: "Attribute of people", kind: "text", nullable: true, group: values, hint: "its number is the value; empty: none" },
  { name: "prior.mean", label: "Mean", kind: "number", empty: "0", group: prior },
  { name: "prior.precision", label: "Strength of the mean", kind: "number", empty: "0.001", group: prior, hint: "in observations" },
  { name: "prior.shape", label: "Shape", kind: "number", empty: "0.001", group: prior },
  { name: "prior.rate", label: "Rate", kind: "number", empty: "0.001", group: prior },
]);

export const METRIC_FORM = Object.freeze([{ name: "name", label: "Name", kind: "text", group: values, whole: true }, ...DECLARATION]);

/** The values of the form; `declaration` null is a new metric. */
export function formOfMetric(declaration) {
  const { range, name, ...rest } = declaration ?? { kind: "value" };
  return { name: name ?? "", ...valuesOf(DECLARATION, { ...rest, range: range ? { low: range[0], high: range[1] } : {} }) };
}

/** The declaration of a form, and its faults. */
export function metricOf(form) {
  const { object, faults } = objectOf(DECLARATION, form);
  const { low, high } = object.range ?? {};
  delete object.range;
  if (low !== undefined && high !== undefined) object.range = [low, high];
  const [lacks, other] = low === undefined ? ["range.low", high] : ["range.high", high === undefined ? low : undefined];
  if (other !== undefined && !faults.some(({ field }) => field === lacks)) faults.push({ field: lacks, message: "must be a number, as the other end is" });
  return { object, faults };
}

/** The cells of a declaration in the table. */
export function cellsOf({ kind, unit, range, types, attribute }) {
  return [kind, unit || "\u2013", range ? `${plain(range[0])} to ${plain(range[1])}` : "\u2013", types?.join(", ") || "\u2013", attribute ?? "\u2013"];
}
