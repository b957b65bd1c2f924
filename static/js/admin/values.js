// Texts of a form as values of a request, and back. Pure; tests/page/forms.test.mjs.
//
// A spec is `{name, label, kind, nullable?, options?, hint?, group?}`; `name` is a path as `prior.freedom`. Kinds: `text`,
// `number`, `check`, `select`, `list` (a text with commas), `pairs` (a number by name, as `mood=3, steps=0`) and `choices` (names
// to tick).

/** The names of a text with commas, without empty ones. */
export const namesOf = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

/** The object of a text as `mood=3, steps=0`; null if a part of it has no name or no number. */
export function pairsOf(text) {
  const pairs = namesOf(text).map((part) => /^([^=]+)=(.+)$/.exec(part)).map((found) => found && [found[1].trim(), Number(found[2])]);
  return pairs.every((pair) => pair && pair[0] && Number.isFinite(pair[1])) ? Object.fromEntries(pairs) : null;
}

const textOf = (pairs) => Object.entries(pairs ?? {}).map(([name, number]) => `${name}=${number}`).join(", ");

const at = (object, path) => path.split(".").reduce((inner, key) => inner?.[key], object);

/** The path of the object that holds a value, and the key of the value in it. */
function placeOf(path) {
  const keys = path.split(".");
  return [keys.slice(0, -1), keys.at(-1)];
}

/** The values of a form by the path of their spec: texts, booleans, and lists of choices. */
export function valuesOf(specs, object) {
  return Object.fromEntries(
    specs.map(({ name, kind }) => {
      const value = at(object, name);
      if (kind === "check") return [name, value === true];
      if (kind === "choices") return [name, value ?? []];
      if (kind === "list") return [name, (value ?? []).join(", ")];
      if (kind === "pairs") return [name, textOf(value)];
      return [name, value === null || value === undefined ? "" : String(value)];
    }),
  );
}

/**
 * The object of a form's values, and its faults `[{field, message}]`. An empty text is null where the spec is nullable, else
 * it is left out, so that the server's default holds. Values of `kept` without a spec stay as they are.
 */
export function objectOf(specs, values, kept = {}) {
  const [object, faults] = [structuredClone(kept), []];
  for (const { name } of specs) {
    const [above, key] = placeOf(name);
    delete above.reduce((inner, part) => inner?.[part], object)?.[key];
  }
  for (const { name, kind, nullable } of specs) {
    let value = values[name];
    if (kind === "list") value = namesOf(value);
    else if (kind === "pairs") {
      value = pairsOf(value);
      if (value === null) faults.push({ field: name, message: "must be names with numbers, as mood=3" });
      if (value === null || Object.keys(value).length === 0) continue;
    } else if (kind === "number" || kind === "text" || kind === "select") {
      value = value.trim();
      if (value === "" && nullable) value = null;
      else if (value === "") continue;
      else if (kind === "number") {
        value = Number(value);
        if (!Number.isFinite(value)) {
          faults.push({ field: name, message: "must be a number" });
          continue;
        }
      }
    }
    const [above, key] = placeOf(name);
    above.reduce((inner, part) => (inner[part] ??= {}), object)[key] = value;
  }
  return { object, faults };
}

/** The spec at which a fault of the server stands: its own, one below it (`points`), or one above it. */
export function specOf(specs, field) {
  const own = specs.find(({ name }) => name === field);
  return own ?? specs.find(({ name }) => name.startsWith(`${field}.`) || field.startsWith(`${name}.`) || field.startsWith(`${name}[`)) ?? null;
}

/** The changed values between two objects, in words as `threshold 10 \u2192 20`. */
export function differences(specs, older, newer) {
  const said = (object, { name, kind }) => {
    const value = at(object, name);
    if (kind === "pairs") return textOf(value) || "none";
    if (kind === "choices" || kind === "list") return (value ?? []).join(", ") || "none";
    return value === null || value === undefined || value === "" ? "none" : String(value);
  };
  return specs
    .map((spec) => [spec.name, said(older, spec), said(newer, spec)])
    .filter(([, before, after]) => before !== after)
    .map(([name, before, after]) => `${name} ${before} \u2192 ${after}`);
}
