// Calls the routes /prediction/{n} and /score for JSON.
//
// Invariant: only this tab keeps the token (sessionStorage), and it goes only into the header of a request.

import { NoAnswer } from "../admin/ask.js";
import { token } from "../server.js";
import { recall, remember } from "../storage.js";

const PATIENCE_MS = 10_000;
const KINDS = { 400: "absent", 401: "token", 403: "token", 404: "absent", 405: "absent", 422: "absent" };

export function useToken(given) {
  remember("token", given);
}

/** Fetches the JSON at a path, by POST if there is a `body`. Throws `NoAnswer`. */
export async function ask(path, body = null) {
  const headers = { accept: "application/json" };
  const bearer = token() ?? recall("service-token");
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  const options = { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body) {
    headers["content-type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new NoAnswer("trouble", "the server does not answer");
  }
  const found = await answer.json().catch(() => null);
  if (answer.ok && found) return found;
  throw new NoAnswer(KINDS[answer.status] ?? "trouble", found?.detail ?? found?.title ?? `the server answered ${answer.status}`);
}
