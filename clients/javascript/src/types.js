// The objects of the wire, as types. Their meaning is in docs/protocol.md of the server.

/** @typedef {"flat" | "topics" | "model" | "tower"} Ranking */
/** @typedef {"like" | "share" | "reply" | "accept" | "click" | "watch" | "read" | "skip" | "hide" | "reject" | "view" | "unlike" | "unhide"} Kind */
/** @typedef {{expert: string, amount: number}} Reason */
/** @typedef {{start: number, stop?: number | null}} Window Times in milliseconds since 1970; without `stop` it is open-ended. */

/**
 * An entry of a feed.
 * @typedef {object} FeedItem
 * @property {string} item key of the item
 * @property {string} [author]
 * @property {string} [topic]
 * @property {string} text
 * @property {number} at creation time in milliseconds since 1970
 * @property {number} [available_until]
 * @property {number} [expected_until]
 * @property {boolean} [live]
 * @property {number} score
 * @property {number} [likely] probability that the user approves of the item
 * @property {number} position from 0
 * @property {Reason[]} [why]
 */

/**
 * An item of the catalogue.
 * @typedef {object} Item
 * @property {string} item key of the item
 * @property {string} id the earlier name of `item`, until version 0.2
 * @property {string} text
 * @property {string | null} [author]
 * @property {string} [topic] the main topic, the first of `topics`
 * @property {string[]} [topics]
 * @property {number} [at] creation time in milliseconds since 1970
 * @property {number} [created] the earlier name of `at`, until version 0.2
 * @property {boolean} [available]
 * @property {number | null} [available_until]
 * @property {Record<string, unknown>} [attributes]
 */

/**
 * An item as it is created; without `item` the server makes a key.
 * @typedef {object} NewItem
 * @property {string} [item]
 * @property {string} [id] the earlier name of `item`, until version 0.2
 * @property {string} text
 * @property {string} [author]
 * @property {string} [topic]
 * @property {string[]} [topics] all topics, the main one first; with `topic`, that one first
 * @property {Record<string, unknown>} [attributes]
 * @property {number[]} [embedding]
 * @property {number | string} [at] creation time
 * @property {number} [created] the earlier name of `at`, until version 0.2
 * @property {Window[]} [windows]
 */

/** @typedef {{user: string, name?: string, attributes?: Record<string, unknown>}} NewUser */
/** @typedef {{user: string, whom: string, on?: boolean, id?: string, at?: number}} Follow With `on: false` it ends. */
/** @typedef {{item: string} | {user: string}} Deletion */
/** @typedef {{item: string, kind: Kind, at: number, seq: number}} StandingItem An item that a user likes or hides now. */
/** @typedef {{user: string, score: number, visits: number, topics: number}} SimilarUser */
/** @typedef {{version: number, created: number, published?: number, serves: boolean, bytes: number, summary: unknown}} StoredModel */

/**
 * A request for recommendations; all fields are optional.
 * @typedef {object} Recommendation
 * @property {string} [user]
 * @property {(string | {item: string, kind?: Kind, dwell_ms?: number, at?: number})[]} [items] acts of the session
 * @property {number} [limit]
 * @property {Ranking} [ranking]
 * @property {boolean} [explain]
 * @property {string[]} [exclude]
 * @property {Record<string, unknown>} [filters]
 * @property {Record<string, unknown>[]} [boosts]
 * @property {Record<string, number>} [signals]
 */

/**
 * @typedef {object} User
 * @property {string} user key of the user
 * @property {string} id the earlier name of `user`, until version 0.2
 * @property {string | null} [name]
 * @property {Record<string, unknown>} [attributes]
 * @property {string[]} [friends]
 */

/**
 * An interaction for REST; the client adds an `id` where it is missing, so that a resend is harmless.
 * @typedef {object} Interaction
 * @property {string} user
 * @property {string} item
 * @property {Kind} kind
 * @property {string} [id]
 * @property {number} [dwell_ms]
 * @property {number} [at]
 */

/**
 * The result of one interaction of a list: accepted, or refused with a problem.
 * @typedef {Record<string, any>} Result
 */

/** @typedef {{accepted: number, rejected: number}} Prediction Probabilities that sum to 1. */
/** @typedef {{kind: "opened" | "event" | "world" | "configured" | "refreshed", id?: string, epoch?: number}} Cause */
/** @typedef {{queue_us: number, learn_us: number, rank_us: number, encode_us: number}} Timing */
/** @typedef {{curve: "exact" | "euler", rate: number, horizon_ms: number}} Decay */

/** @typedef {{type: "welcome", session: string, user: string, epoch: number, version: number, server_time: number, decay?: Decay}} Welcome */
/** @typedef {{type: "feed", version: number, epoch: number, ranking: Ranking, model_version?: number, cause?: Cause, timing?: Timing, items: FeedItem[]}} FeedMessage */
/** @typedef {{op: "remove", item: string} | {op: "move", item: string, position: number} | {op: "insert", item: FeedItem} | {op: "update", item: FeedItem}} Step */
/** @typedef {{type: "patch", version: number, base: number, epoch: number, model_version?: number, cause?: Cause, timing?: Timing, ops: Step[]}} PatchMessage */
/** @typedef {{type: "accepted", id: string, seq: number, item?: string}} Accepted */
/** @typedef {{type: "page", after: number, items: FeedItem[], end: boolean}} Page */
/** @typedef {{type: "model", topics: Record<string, number>, positives: number, negatives: number, labelled: number, events: number, auc?: number, log_loss?: number, auc_model?: number, auc_topics?: number, log_loss_model?: number, drifts?: number}} Model */
/** @typedef {{type: "live", item: string, available: boolean, until?: number}} Live */
/** @typedef {{type: "busy", id?: string, retry_after_ms: number}} Busy */
/** @typedef {{type: "error", code: string, message: string, field?: string, id?: string}} Refusal */
/** @typedef {{type: "pong", t: number, server_time: number}} Pong */
/** @typedef {{type: "bye", reason: string}} Bye */
/** @typedef {Welcome | FeedMessage | PatchMessage | Accepted | Page | Model | Live | Busy | Refusal | Pong | Bye} ServerMessage */

/** @typedef {{type: "interact", id: string, item: string, kind: Kind, dwell_ms?: number, at?: number}} Interact */
/** @typedef {{type: "post", id: string, text: string, topic?: string, embedding?: number[], windows?: Window[]}} Post */
/** @typedef {{type: "live", id: string, item: string, on: boolean}} OnAir */
/** @typedef {{type: "follow" | "unfollow", id: string, user: string}} FollowMessage */
/** @typedef {{type: "configure", id: string, topics: Record<string, number>}} Weigh */
/** @typedef {{type: "undo", id: string, event: string}} Undo */
/** @typedef {Interact | Undo | Post | OnAir | FollowMessage | Weigh} EventMessage A message that the server answers with `accepted`. */

/** @typedef {{ranking?: Ranking, limit?: number, explain?: boolean, timing?: boolean}} FeedSettings */

/** @typedef {"closed" | "connecting" | "online" | "waiting" | "offline" | "refused"} State */

/**
 * Storage for text by name, such as `sessionStorage` and `localStorage` of a browser.
 * @typedef {object} TextStorage
 * @property {(name: string) => string | null} getItem
 * @property {(name: string, text: string) => void} setItem
 */

/**
 * A token, or a function that returns a valid one. It runs before each request and each connection.
 * @typedef {string | null | (() => string | null | undefined | Promise<string | null | undefined>)} Token
 */

export {};
