// Writes a JSON Schema in the notation of TypeScript, which is shorter to read.

const DEPTH_MAX = 6;

/** The schema as text. References are written out once per path, `depth` levels deep. */
export function notation(schema, document, depth = 0, seen = []) {
  if (schema === true || schema === undefined) return "any";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const target = document.components.schemas[name];
    const isPlain = !target?.properties && !target?.anyOf && !target?.oneOf;
    if (!target || seen.includes(name) || depth >= DEPTH_MAX) return name;
    return isPlain && target.type !== "array" ? name : notation(target, document, depth, [...seen, name]);
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map((one) => notation(one, document, depth, seen)).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => notation({ ...schema, type }, document, depth, seen)).join(" | ");
  if (schema.type === "array") {
    const of = notation(schema.items, document, depth, seen);
    return of.includes(" | ") && !of.startsWith("{") ? `(${of})[]` : `${of}[]`;
  }
  if (schema.properties) return fields(schema, document, depth, seen);
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `{ [name]: ${notation(schema.additionalProperties, document, depth, seen)} }`;
  }
  return schema.type ?? "any";
}

function fields(schema, document, depth, seen) {
  const indent = "  ".repeat(depth + 1);
  const required = schema.required ?? [];
  const lines = Object.entries(schema.properties).map(([name, inner]) => {
    const mark = required.includes(name) ? "" : "?";
    return `${indent}${name}${mark}: ${notation(inner, document, depth + 1, seen)},`;
  });
  return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}
