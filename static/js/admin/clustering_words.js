// Words on the state of a clustering. Pure; tests/page/clusterings.test.mjs.

import { amount, clock, short } from "./words.js";

/** A cluster's name, or its number. */
export const nameOfCluster = ({ id, name }) => name ?? String(id);

const count = (number, one, many) => `${short(number)} ${number === 1 ? one : many}`;

/** The progress towards the next refit: `{words, value, max}`; `max` null hides the bar. */
export function counterState({ counter, threshold }) {
  if (threshold === 0) return { words: `${count(counter, "point", "points")} since the last fit. Points alone start no refit.`, value: 0, max: null };
  const words = `${short(counter)} of ${count(threshold, "point", "points")} towards the next refit`;
  return { words, value: Math.min(counter, threshold), max: threshold };
}

/** The progress of the fit under way: `{words, value, max}`, or null. A fit that has just begun has no number of starts. */
export function progressState(underWay) {
  if (!underWay) return null;
  const { epoch, starts_done: done, starts } = underWay;
  const words = starts ? `Fit ${epoch} under way: ${short(done)} of ${count(starts, "start", "starts")} done` : `Fit ${epoch} begins`;
  return { words, value: Math.min(done ?? 0, starts || 1), max: starts || 1 };
}

/** Facts in sentences: the schedule, the last fit, the revision of the settings. */
export function factsOf({ next, settings, fit, revision, changed_at: changedAt }, now) {
  const above = settings?.schedule_above ?? null;
  const only = above === null ? "" : `, if there are at least ${count(above, "point", "points")} by then`;
  return [
    next ? `Next scheduled fit ${clock(next, now)}${only}.` : "No fit is scheduled.",
    fit?.fitted_at ? `The last fit took ${amount(fit.seconds)} s, with a lower bound of ${amount(fit.lower_bound)}; ${count(fit.moved ?? 0, "person", "people")} moved.` : null,
    revision ? `Settings: revision ${revision} of ${clock(changedAt, now)}.` : "Settings: those of the configuration.",
  ].filter(Boolean);
}

/** One fit of the history in words, after its number. */
export function fitWords({ fitted_at: fittedAt, clusters, people, outliers, seconds, lower_bound: bound, moved, maximum_binds: binds }, now) {
  const found = `${count(clusters.length, "cluster", "clusters")} of ${count(people, "person", "people")}, ${short(outliers)} in none`;
  const parts = [found, `${short(moved)} moved`, `${amount(seconds)} s`, `lower bound ${amount(bound)}`, binds && "more than its components allow"];
  return `${clock(fittedAt, now)} \u00b7 ${parts.filter(Boolean).join("; ")}`;
}

/** Why a refit cannot be requested now; null if it can. The server says whether a request waits. */
export function busyReason({ under_way: underWay, requested, refused }) {
  if (underWay) return "A fit is under way.";
  return requested && refused === null ? "Requested: the refit starts after the pause between two fits." : null;
}
