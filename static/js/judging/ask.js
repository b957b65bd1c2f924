// Calls the routes /prediction/{n} and /score for JSON.
//
// Invariant: only this tab keeps the token (sessionStorage), and it goes only into the header of a request.

import { KINDS, request } from "../admin/ask.js";
import { token, useToken } from "../server.js";
import { recall } from "../storage.js";

// A post number out of range is as absent as an unknown one.
const OF_POSTS = Object.freeze({ ...KINDS, 422: "absent" });

export { useToken };

/** Fetches the JSON at a path, by POST if there is a `body`. Throws `NoAnswer`. */
export const ask = (path, body = null) => request(path, token() ?? recall("service-token"), body, OF_POSTS);
