// The settings of a clustering as fields of a form. Pure; tests/page/forms.test.mjs.

import { namesOf } from "./values.js";

const [identity, columns, triggers, mixture, priors] = ["Clustering", "Columns", "When to fit", "Clusters", "Priors"];

/** The settings, in the order of the form. `empty` of a number is the default of the server, which an empty field takes. */
export const SETTINGS = Object.freeze([
  { name: "columns", label: "Columns", kind: "choices", group: columns },
  { name: "scaling", label: "Scaling", kind: "select", group: columns, options: [["robust", "median and quartiles"], ["standard", "mean and deviation"], ["none", "none"]] },
  { name: "kind", label: "Shape", kind: "select", group: mixture, options: [["gaussian", "Gaussian"], ["student-t", "Student\u2019s t"]] },
  { name: "components", label: "Clusters at most", kind: "number", empty: "40", group: mixture },
  { name: "restarts", label: "Random starts", kind: "number", empty: "15", group: mixture },
  { name: "noise", label: "Uniform noise for outliers", kind: "check", group: mixture },
  { name: "threshold", label: "Points that start a fit", kind: "number", empty: "10", group: triggers, hint: "0: never by points" },
  { name: "points.measured", label: "Points of a measurement", kind: "number", empty: "1", group: triggers },
  { name: "points.metrics", label: "Points of single metrics", kind: "pairs", group: triggers, empty: "mood=3, steps=0", hint: "where they differ; empty: none" },
  { name: "points.new_person", label: "Points of a new person", kind: "number", empty: "5", group: triggers },
  { name: "schedule", label: "Schedule", kind: "text", group: triggers, empty: "0 3 * * *", hint: "cron, in UTC; empty: none" },
  { name: "schedule_above", label: "Scheduled only from points", kind: "number", nullable: true, group: triggers, hint: "empty: always" },
  { name: "interval_s", label: "Seconds between fits", kind: "number", empty: "10", group: triggers },
  { name: "prior.concentration", label: "Dirichlet concentration", kind: "number", nullable: true, group: priors, hint: "empty: fitted to the sizes" },
  { name: "prior.noise_share", label: "Share of noise", kind: "number", nullable: true, group: priors, hint: "empty: left to the data" },
  { name: "prior.mean_strength", label: "Strength of the mean", kind: "number", empty: "0.01", group: priors },
  { name: "prior.freedom", label: "Degrees of freedom", kind: "number", empty: "0", group: priors, hint: "beyond the number of columns" },
  { name: "prior.deviation", label: "Deviation of a cluster", kind: "number", empty: "0.1", group: priors, hint: "in widths of a column" },
]);

/** The form: the name of a new clustering and columns without a box around the settings. */
export const FORM = Object.freeze([
  { name: "name", label: "Name", kind: "text", group: identity, whole: true },
  SETTINGS[0],
  { name: "more", label: "Other columns, as topic.sports, topic.music", kind: "text", group: columns, whole: true },
  ...SETTINGS.slice(1),
]);

/** Columns to tick: each declared metric, then its types. */
export function columnsOf(declarations) {
  return declarations.flatMap(({ name, types }) => [name, ...(types ?? []).map((type) => `${name}.${type}`)]);
}

/** Columns of settings that have no box, as the text of the form. */
export const moreOf = (chosen, offered) => chosen.filter((column) => !offered.includes(column)).join(", ");

/** All columns of a form, each once: those with a box first. */
export const allColumns = (ticked, more) => [...new Set([...ticked, ...namesOf(more)])];
