// The order of the cards on screen, from the order of the stream.
//
// Invariant: the first `keep` cards stay where they are, so that nothing moves where the user reads or has just acted.

/**
 * Arranges the stream below the cards that stay.
 *
 * `shown` are the keys on screen from the top, `wanted` those of the stream. Below the kept cards the stream's order
 * holds. While all cards stay, only items that the stream has below all of them are added; `fresh` counts the others.
 * @returns {{order: string[], fresh: number, differs: boolean}}
 */
export function arrange(shown, wanted, keep) {
  const head = shown.slice(0, keep);
  const kept = new Set(head);
  let rest = wanted.filter((key) => !kept.has(key));
  let fresh = 0;
  if (keep > 0 && keep >= shown.length) {
    const last = wanted.findLastIndex((key) => kept.has(key));
    const below = new Set(wanted.slice(last + 1));
    const added = rest.filter((key) => below.has(key) && last >= 0);
    fresh = rest.length - added.length;
    rest = added;
  }
  const order = [...head, ...rest];
  const differs = fresh > 0 || order.length !== wanted.length || order.some((key, index) => key !== wanted[index]);
  return { order, fresh, differs };
}

/** How many cards stay: all while the user reads and others act, else those down to the lowest one that the user acted on. */
export function kept(shown, held, isReading) {
  if (isReading) return shown.length;
  return shown.findLastIndex((key) => held.has(key)) + 1;
}
