// Calls the server's REST routes as a service.
//
// Invariant: only this tab keeps the token (sessionStorage), and it goes only into the header of a request.

import { recall, remember } from "../storage.js";

const PATIENCE_MS = 10_000;

/** A failed request. `kind` is `token` (another token is needed), `absent` (no such route) or `trouble`. */
export class NoAnswer extends Error {
  constructor(kind, words) {
    super(words);
    this.kind = kind;
  }
}

export function useToken(token) {
  remember("service-token", token);
}

/** Fetches the JSON at a path. Throws `NoAnswer`. */
export async function ask(path) {
  const headers = { accept: "application/json" };
  const token = recall("service-token");
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new NoAnswer("trouble", "the server does not answer");
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body) return body;
  const kind = { 400: "absent", 401: "token", 403: "token", 404: "absent", 405: "absent" }[answer.status] ?? "trouble";
  throw new NoAnswer(kind, body?.detail ?? body?.title ?? `the server answered ${answer.status}`);
}
