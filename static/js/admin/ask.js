// Calls the server's REST routes as a service.
//
// Invariant: only this tab keeps the token (sessionStorage), and it goes only into the header of a request.

import { Eddyline, EddylineError } from "../../../clients/javascript/src/index.js";
import { token } from "../server.js";
import { recall, remember } from "../storage.js";

/** A failed request. `kind` is `token` (another token is needed), `absent` (no such route) or `trouble`. */
export class NoAnswer extends Error {
  constructor(kind, words, faults = []) {
    super(words);
    this.kind = kind;
    /** Invalid fields: `[{field, message}]`. */
    this.faults = faults;
  }
}

export function useToken(given) {
  remember("service-token", given);
}

const bearer = () => recall("service-token") ?? token();

/** Whether requests carry a token. */
export const hasToken = () => Boolean(bearer());

/** The kind of `NoAnswer` by status; any other status is `trouble`. */
export const KINDS = Object.freeze({ 400: "absent", 401: "token", 403: "token", 404: "absent", 405: "absent" });

/** Fetches the JSON at a path as a service. Throws `NoAnswer`. */
export function ask(path) {
  return request(path, bearer());
}

/** Sends a change as a service. A refusal is `trouble` with its faults, since a missing resource is no missing route. */
export function send(method, path, body = null) {
  return request(path, bearer(), body, { 401: "token", 403: "token" }, method);
}

/**
 * Fetches the JSON at a path, by `method`, or by POST if there is a `body`; `bearer` may be null. An answer without a body
 * is null. Throws `NoAnswer`.
 */
export async function request(path, bearer, body = undefined, kinds = KINDS, method = body ? "POST" : "GET") {
  // The polls of the page are its repetitions.
  const client = new Eddyline(location.origin, { token: bearer, retries: 0 });
  try {
    return await client.request(method, path, { body: body ?? undefined });
  } catch (error) {
    if (!(error instanceof EddylineError)) throw error;
    throw new NoAnswer(kinds[error.status] ?? "trouble", error.message, error.faults);
  }
}
