// The client of an Eddyline server, for browsers and Node.js.

export { Clock } from "./clock.js";
export { Eddyline } from "./client.js";
export { EddylineError } from "./errors.js";
export { Feed } from "./feed.js";
export { PatchError, applyOperations } from "./patch.js";
export { Session, newId } from "./session.js";
export { MemoryStorage } from "./storage.js";
/** @typedef {import("./client.js").ClientOptions} ClientOptions */
/** @typedef {import("./client.js").RequestOptions} RequestOptions */
/** @typedef {import("./session.js").SessionOptions} SessionOptions */
/** @typedef {import("./session.js").Events} Events */
/** @typedef {import("./session.js").Sent} Sent */
