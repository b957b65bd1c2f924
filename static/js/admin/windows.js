// Converts the server's answer to availability windows.

/**
 * `[{item, start, stop, text?}]`; `null` is an open end. An answer lists windows, items with their windows, or items
 * available at `now` with their ends.
 */
export function windowsOf(answer, now) {
  const one = (item, start, stop, text) => ({ item, start: start ?? null, stop: stop ?? null, ...(text ? { text } : {}) });
  if (Array.isArray(answer.windows)) return answer.windows.map(({ item, id, start, stop, text }) => one(item ?? id, start, stop, text));
  return (answer.items ?? []).flatMap((row) => {
    const item = row.item ?? row.id;
    if (!Array.isArray(row.windows)) return [one(item, row.start ?? now, row.stop ?? row.available_until, row.text)];
    // Without windows an item is always available.
    if (row.windows.length === 0) return [one(item, null, null, row.text)];
    return row.windows.map(({ start, stop }) => one(item, start, stop, row.text));
  });
}
