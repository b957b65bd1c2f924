// How far clusters moved between two fits. Numbers are never given twice, so the same id is the same cluster.

/** `[{id, from, to}]` in two of the columns, of those that are in both fits. */
export function movements(now, before, across, up) {
  const old = new Map((before ?? []).map((cluster) => [cluster.id, cluster.mean]));
  return now
    .filter(({ id }) => old.has(id))
    .map(({ id, mean }) => ({ id, from: [old.get(id)[across], old.get(id)[up]], to: [mean[across], mean[up]] }));
}
