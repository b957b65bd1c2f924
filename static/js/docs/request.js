// Builds a request from the fields of a form, and shows its answer.

/** The address of a request: the path with its parameters, and the query. */
export function addressOf(path, values) {
  let address = path;
  const query = new URLSearchParams();
  for (const { name, place, value } of values) {
    if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
    else if (place === "query" && value !== "") query.append(name, value);
  }
  return query.size > 0 ? `${address}?${query}` : address;
}

/** Sends the request. The answer has a line with its status and a text. */
export async function send(method, address, headers, body) {
  const began = performance.now();
  const answer = await fetch(address, { method: method.toUpperCase(), headers, body });
  const text = await answer.text();
  const took = Math.round(performance.now() - began);
  return { ok: answer.ok, line: `${answer.status} ${answer.statusText} after ${took} ms`, text: pretty(text, answer) };
}

/** The command that sends the request, without the token. */
export function command(method, address, headers, body, origin) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ["curl", "-X", method.toUpperCase(), quoted(origin + address)];
  for (const [name, value] of Object.entries(headers)) {
    parts.push("-H", name === "authorization" ? '"Authorization: Bearer $EDDYLINE_TOKEN"' : quoted(`${name}: ${value}`));
  }
  if (body !== undefined) parts.push("-d", quoted(body));
  return parts.join(" ");
}

function pretty(text, answer) {
  if (!answer.headers.get("content-type")?.includes("json")) return text.slice(0, 20_000);
  try {
    return JSON.stringify(JSON.parse(text), null, 2).slice(0, 200_000);
  } catch {
    return text;
  }
}
