// Formats of numbers for readers.

const SIX_DAYS_MS = 6 * 86_400_000;
const NONE = "\u2013";
const minus = (text) => text.replace("-", "\u2212");

/** A count: whole while short, else with a suffix for thousands or millions. */
export function short(count) {
  if (count === null || count === undefined || !Number.isFinite(count)) return NONE;
  const size = Math.abs(count);
  if (size < 10_000) return minus(Math.round(count).toLocaleString("en"));
  const [unit, letter] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([unit]) => size >= unit * 0.9995);
  return minus(`${(count / unit).toPrecision(3)} ${letter}`);
}

/** A measurement with three significant digits. */
export function amount(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return minus(Math.round(value).toLocaleString("en"));
  if (size < 1e-4) return minus(value.toExponential(1));
  return minus(value.toPrecision(3));
}

/** The label of a tick, without trailing digits. */
export const plain = (value) => minus(value.toLocaleString("en", { maximumSignificantDigits: 6 }));

export function bytes(count) {
  if (count === null || count === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(count || 1) / 10)));
  return power ? `${(count / 1024 ** power).toFixed(1)} ${units[power]}` : `${count} B`;
}

/** A time: "14:05" today, "Tue 14:05" within six days, "28 Nov 2026 14:05" beyond. */
export function clock(at, now) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const sameDay = date.toDateString() === new Date(now).toDateString();
  const day = Math.abs(now - at) < SIX_DAYS_MS ? { weekday: "short" } : { day: "numeric", month: "short", year: "numeric" };
  return sameDay ? time : `${date.toLocaleDateString("en-GB", day)} ${time}`;
}

/** The fault of a text that no header can carry as a token; empty without one. */
export const faultOfToken = (text) => (/^[\x21-\x7e]+$/.test(text) ? "" : "This is no token: it has blanks or letters that no token has.");

/** The words of a request that the server refused; empty where no token was sent. */
export const refusalWords = (words, wasSent) => (wasSent ? `It was refused: ${words}` : "");
