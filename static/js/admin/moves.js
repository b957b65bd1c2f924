// Moves of users and clusters between two fits. Cluster ids are never reused, so an id names one cluster in all fits.

/** The cluster of a point; null for an outlier. `outlier` is a flag or a probability. */
export const clusterOf = ({ cluster, outlier }) => (outlier === true ? null : (cluster ?? null));

/** `[{id, from, to}]` in two columns, for clusters of both fits. */
export function movements(now, before, across, up) {
  const old = new Map((before ?? []).map((cluster) => [cluster.id, cluster.mean]));
  return now
    .filter(({ id }) => old.has(id))
    .map(({ id, mean }) => ({ id, from: [old.get(id)[across], old.get(id)[up]], to: [mean[across], mean[up]] }))
    // Fits of other columns have incomparable means.
    .filter(({ from, to }) => [...from, ...to].every(Number.isFinite));
}
