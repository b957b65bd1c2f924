// Words for spans of time.

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];
const SHORT = { day: "d", hour: "h", minute: "min", second: "s" };

/** A past instant in words: "just now", "5 min ago", "3 d ago". */
export function ago(at, now) {
  const span = now - at;
  if (span < 10_000) return "just now";
  return `${roughly(span)} ago`;
}

/** A duration in the largest unit that fits, rounded down: "12 min", "1 h". */
export function roughly(span) {
  const [unit, length] = UNITS.find(([, length]) => span >= length) ?? UNITS.at(-1);
  return `${Math.max(0, Math.floor(span / length))} ${SHORT[unit]}`;
}

/** Minutes and seconds while under an hour, for countdowns. */
export function countdown(span) {
  if (span >= 3_600_000) return roughly(span);
  const seconds = Math.max(0, Math.ceil(span / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
