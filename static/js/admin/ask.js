// Calls the server's REST routes as a service.
//
// Invariant: only this tab keeps the token (sessionStorage), and it goes only into the header of a request.

import { recall, remember } from "../storage.js";

const PATIENCE_MS = 10_000;

/** A failed request. `kind` is `token` (another token is needed), `absent` (no such route) or `trouble`. */
export class NoAnswer extends Error {
  constructor(kind, words, faults = []) {
    super(words);
    this.kind = kind;
    /** Invalid fields: `[{field, message}]`. */
    this.faults = faults;
  }
}

export function useToken(token) {
  remember("service-token", token);
}

/** The kind of `NoAnswer` by status; any other status is `trouble`. */
export const KINDS = Object.freeze({ 400: "absent", 401: "token", 403: "token", 404: "absent", 405: "absent" });

/** Fetches the JSON at a path as a service. Throws `NoAnswer`. */
export function ask(path) {
  return request(path, recall("service-token"));
}

/** Sends a change as a service. A refusal is `trouble` with its faults, since a missing resource is no missing route. */
export function send(method, path, body = null) {
  return request(path, recall("service-token"), body, { 401: "token", 403: "token" }, method);
}

/**
 * Fetches the JSON at a path, by `method`, or by POST if there is a `body`; `bearer` may be null. An answer without a body
 * is null. Throws `NoAnswer`.
 */
export async function request(path, bearer, body = null, kinds = KINDS, method = body ? "POST" : "GET") {
  const headers = { accept: "application/json" };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  const options = { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body) {
    headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new NoAnswer("trouble", "the server does not answer");
  }
  if (answer.status === 204) return null;
  const found = await answer.json().catch(() => null);
  if (answer.ok && found) return found;
  const kind = kinds[answer.status] ?? "trouble";
  throw new NoAnswer(kind, found?.detail ?? found?.title ?? `the server answered ${answer.status}`, found?.errors);
}
