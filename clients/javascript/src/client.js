// The server's REST routes, and the sessions of its users.
//
// Invariant: a change that is repeated carries the id of its first sending, so the server learns it once. The token goes
// only into the header of a request and into `hello`, never into an address.

import { EddylineError } from "./errors.js";
import { Session, newId } from "./session.js";

/** @import { Socket } from "./connection.js" */
/** @import { SessionOptions } from "./session.js" */
/** @import { Deletion, FeedItem, Follow, Interaction, Item, NewItem, NewUser, Prediction, Ranking, Recommendation, Result, SimilarUser, StandingItem, StoredModel, Token, User, Window } from "./types.js" */

const TIMEOUT_MS = 10_000;
const RETRIES = 2;
const RETRY_MS = 250;
const RETRY_MAX_S = 30;
// Answers after which a repetition can succeed. With both, the server learned nothing, or learns by id once.
const TRANSIENT = new Set([429, 503]);

/**
 * @typedef {object} ClientOptions
 * @property {Token} [token]
 * @property {number} [timeoutMs] limit of one request, 10 s by default
 * @property {number} [retries] repetitions after 429, 503 and a broken connection, 2 by default
 * @property {typeof globalThis.fetch} [fetch]
 * @property {(url: string, protocols: string[]) => Socket} [makeSocket]
 */

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

/**
 * @typedef {object} RequestOptions
 * @property {Query} [query] null and undefined are left out
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {boolean} [keepalive] let the request outlive the page
 * @property {number} [retries]
 */

/** A client of one server. */
export class Eddyline {
  #base;
  #token;
  #fetch;
  #makeSocket;
  #timeoutMs;
  #retries;

  /** @param {string | URL} url of the server, such as `https://feeds.example` @param {ClientOptions} [options] */
  constructor(url, { token = null, timeoutMs = TIMEOUT_MS, retries = RETRIES, fetch, makeSocket } = {}) {
    this.#base = new URL(url);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
    this.#fetch = fetch ?? ((...given) => globalThis.fetch(...given));
    this.#makeSocket = makeSocket ?? ((address, protocols) => new WebSocket(address, protocols));
  }

  /**
   * The live session of a user. It connects at `start()`.
   * @param {string} user @param {SessionOptions} [options]
   */
  session(user, options = {}) {
    const url = new URL("ws", this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new Session(user, { token: this.#token, ...options, url: url.href, makeSocket: this.#makeSocket });
  }

  // ---- users ----

  /** @param {{prefix?: string, limit?: number, cluster?: number, clustering?: string, signal?: AbortSignal}} [options] @returns {Promise<User[]>} */
  async users({ signal, ...query } = {}) {
    return (await this.request("GET", "v1/users", { query, signal })).users;
  }

  /** @param {string} id @returns {Promise<User>} */
  user(id) {
    return this.request("GET", path`v1/users/${id}`);
  }

  /**
   * Creates or changes a user.
   * @param {string} id @param {{name?: string, attributes?: Record<string, unknown>}} [user] @returns {Promise<User>}
   */
  putUser(id, user = {}) {
    return this.request("PUT", path`v1/users/${id}`, { body: user });
  }

  /** Creates or changes many users; one result each. @param {NewUser[]} users at most 10,000 @returns {Promise<Result[]>} */
  async putUsers(users) {
    return results(await this.request("POST", "v1/users", { body: users }));
  }

  /** Erases a user permanently. @param {string} id @returns {Promise<void>} */
  deleteUser(id) {
    return this.request("DELETE", path`v1/users/${id}`);
  }

  /** All data of a user. @param {string} id @returns {Promise<Record<string, any>>} */
  exportUser(id) {
    return this.request("GET", path`v1/users/${id}/export`);
  }

  /** @param {string} user @param {string} other @returns {Promise<void>} */
  follow(user, other) {
    return this.request("PUT", path`v1/users/${user}/follows/${other}`);
  }

  /** @param {string} user @param {string} other @returns {Promise<void>} */
  unfollow(user, other) {
    return this.request("DELETE", path`v1/users/${user}/follows/${other}`);
  }

  /** Follows, or unfollows with `on: false`; one result each. @param {Follow[]} follows at most 10,000 @returns {Promise<Result[]>} */
  async followAll(follows) {
    const body = follows.map((follow) => ({ id: newId(), ...follow }));
    return results(await this.request("POST", "v1/follows", { body }));
  }

  /**
   * Deletes items and erases users; one result each. It is not repeated by itself: the second answer is a refusal.
   * @param {Deletion[]} deletions at most 10,000 @returns {Promise<Result[]>}
   */
  async deleteAll(deletions) {
    return results(await this.request("POST", "v1/deletions", { body: deletions, retries: 0 }));
  }

  /**
   * One page of the items that the user hides or rejects now, the last one first.
   * @param {string} user @param {{limit?: number, after?: number}} [query] @returns {Promise<{items: StandingItem[], next?: number}>}
   */
  hidden(user, query = {}) {
    return this.request("GET", path`v1/users/${user}/hidden`, { query });
  }

  /**
   * One page of the items that the user likes now, the last one first.
   * @param {string} user @param {{limit?: number, after?: number}} [query] @returns {Promise<{items: StandingItem[], next?: number}>}
   */
  liked(user, query = {}) {
    return this.request("GET", path`v1/users/${user}/liked`, { query });
  }

  /**
   * Active users who resemble this one, best first.
   * @param {string} user @param {{by?: "both" | "visits" | "topics", limit?: number, after?: string}} [query]
   * @returns {Promise<SimilarUser[]>}
   */
  async similarUsers(user, query = {}) {
    return (await this.request("GET", path`v1/users/${user}/similar`, { query })).people;
  }

  /**
   * The feed that a socket of this ranking and limit would get.
   * @param {string} user @param {{ranking?: Ranking, limit?: number, after?: number, explain?: boolean}} [query]
   * @returns {Promise<{items: FeedItem[], version: number, epoch: number, ranking: Ranking, next: number | null}>}
   */
  feed(user, query = {}) {
    return this.request("GET", path`v1/users/${user}/feed`, { query });
  }

  /** The probabilities of acceptance and rejection. @param {string} user @param {string} item @returns {Promise<Prediction>} */
  predict(user, item) {
    return this.request("GET", path`v1/users/${user}/predictions/${item}`);
  }

  /**
   * Learns the user's answer, and returns the new probabilities.
   * @param {string} user @param {string} item @param {"accepted" | "rejected"} label @param {{id?: string}} [options]
   * @returns {Promise<Prediction>}
   */
  judge(user, item, label, { id = newId() } = {}) {
    return this.request("POST", path`v1/users/${user}/predictions/${item}`, { body: { label, id } });
  }

  /** The topic weights and the figures of a user's model. @param {string} user @returns {Promise<Record<string, any>>} */
  model(user) {
    return this.request("GET", path`v1/users/${user}/model`);
  }

  /** Sets topic weights, 0 to 1. @param {string} user @param {Record<string, number>} topics @returns {Promise<Record<string, any>>} */
  setTopics(user, topics) {
    return this.request("PATCH", path`v1/users/${user}/model`, { body: { topics } });
  }

  /** The topic weights of a user over time. @param {string} user @param {Query} [query] @returns {Promise<Record<string, any>>} */
  topicHistory(user, query = {}) {
    return this.request("GET", path`v1/users/${user}/topics/history`, { query });
  }

  // ---- interactions ----

  /** @param {Interaction} interaction @returns {Promise<Result>} */
  interact(interaction) {
    return this.request("POST", "v1/interactions", { body: { id: newId(), ...interaction } });
  }

  /**
   * Sends many interactions at once; one result each. A refused one does not affect the others.
   * @param {Interaction[]} interactions at most 10,000 @returns {Promise<Result[]>}
   */
  async interactAll(interactions) {
    const body = interactions.map((interaction) => ({ id: newId(), ...interaction }));
    return results(await this.request("POST", "v1/interactions", { body }));
  }

  /**
   * Cancels an interaction: the user's state is again that of a user who never did it. A repetition is answered alike.
   * @param {string} user @param {string} event id of the interaction @returns {Promise<{id: string, event: string, seq: number}>}
   */
  undo(user, event) {
    return this.request("DELETE", path`v1/users/${user}/interactions/${event}`);
  }

  // ---- items ----

  /** One page of the catalogue. @param {{limit?: number, after?: string}} [query] @returns {Promise<{items: Item[], next: string | null}>} */
  items(query = {}) {
    return this.request("GET", "v1/items", { query });
  }

  /** The whole catalogue, page by page. @param {{limit?: number}} [query] @returns {AsyncGenerator<Item, void, void>} */
  allItems({ limit = 1000 } = {}) {
    return this.all("v1/items", "items", { limit });
  }

  /** @param {string} id @returns {Promise<Item>} */
  item(id) {
    return this.request("GET", path`v1/items/${id}`);
  }

  /**
   * Creates an item. It is not repeated by itself, since the second answer to one id is 409.
   * @param {NewItem} item @returns {Promise<Item>}
   */
  createItem(item) {
    return this.request("POST", "v1/items", { body: item, retries: 0 });
  }

  /** Creates many items; one result each. They are not repeated by themselves. @param {NewItem[]} items @returns {Promise<Result[]>} */
  async createItems(items) {
    return results(await this.request("POST", "v1/items", { body: items, retries: 0 }));
  }

  /** Creates or replaces an item. @param {string} id @param {Omit<NewItem, "item" | "id">} item @returns {Promise<Item>} */
  putItem(id, item) {
    return this.request("PUT", path`v1/items/${id}`, { body: item });
  }

  /** Changes the given fields. @param {string} id @param {Partial<Omit<NewItem, "item" | "id">>} fields @returns {Promise<Item>} */
  patchItem(id, fields) {
    return this.request("PATCH", path`v1/items/${id}`, { body: fields });
  }

  /** Tombstones an item: it is never shown again. @param {string} id @returns {Promise<void>} */
  deleteItem(id) {
    return this.request("DELETE", path`v1/items/${id}`);
  }

  /** @param {string} id @param {Window[]} windows @returns {Promise<Window[]>} */
  putWindows(id, windows) {
    return this.request("PUT", path`v1/items/${id}/windows`, { body: windows });
  }

  /**
   * Available items that resemble this one, best first.
   * @param {string} id @param {{by?: "both" | "visits" | "embedding", limit?: number, after?: string}} [query]
   * @returns {Promise<(Item & {score: number, visits: number | null, embedding: number | null})[]>}
   */
  async similar(id, query = {}) {
    return (await this.request("GET", path`v1/items/${id}/similar`, { query })).items;
  }

  /** @param {{topic?: string, cluster?: number, limit?: number, after?: string}} [query] @returns {Promise<(Item & {score: number})[]>} */
  async popular(query = {}) {
    return (await this.request("GET", "v1/popular", { query })).items;
  }

  /** @param {{limit?: number, after?: string}} [query] @returns {Promise<{topics: {topic: string, items: number, available: number}[], next: string | null}>} */
  topics(query = {}) {
    return this.request("GET", "v1/topics", { query });
  }

  /**
   * One page of the items whose text has all words, by relevance.
   * @param {string} words @param {{topic?: string, author?: string, available?: boolean, limit?: number, after?: number}} [query]
   * @returns {Promise<{items: (Item & {score: number})[], next: number | null}>}
   */
  search(words, query = {}) {
    return this.request("GET", "v1/search", { query: { q: words, ...query } });
  }

  /**
   * Ranks for one request: for a user, or for an unknown one who acted on `items`. The server learns nothing from it.
   * @param {Recommendation} [request]
   * @returns {Promise<{user: string | null, epoch: number, ranking: Ranking, model_version?: number, items: FeedItem[]}>}
   */
  recommend(request = {}) {
    return this.request("POST", "v1/recommend", { body: request });
  }

  /** @param {Query} [query] @returns {Promise<Record<string, any>>} */
  availability(query = {}) {
    return this.request("GET", "v1/availability", { query });
  }

  // ---- metrics ----

  /**
   * Records measurements of users; an undeclared metric is refused, or counted with `unknown: "ignore"`.
   * @param {Record<string, unknown>[]} measurements at most 100
   * @param {{user?: string, unknown?: "ignore", keepalive?: boolean}} [options]
   * @returns {Promise<{accepted: number, ignored: number}>}
   */
  measure(measurements, { keepalive, ...query } = {}) {
    const body = measurements.map((measurement) => ({ id: newId(), ...measurement }));
    return this.request("POST", "v1/metrics", { query, body, keepalive });
  }

  /** The posterior of each metric, and the declarations. @returns {Promise<Record<string, any>>} */
  metrics() {
    return this.request("GET", "v1/metrics");
  }

  /** The values of a user beside the population's. @param {string} user @param {{sigmas?: number}} [query] @returns {Promise<Record<string, any>>} */
  userMetrics(user, query = {}) {
    return this.request("GET", path`v1/users/${user}/metrics`, { query });
  }

  /** Declares a metric. @param {string} name @param {Record<string, unknown>} declaration @returns {Promise<Record<string, any>>} */
  putMetric(name, declaration) {
    return this.request("PUT", path`v1/metrics/${name}`, { body: declaration });
  }

  /** @param {string} name @returns {Promise<Record<string, any> | null>} */
  deleteMetric(name) {
    return this.request("DELETE", path`v1/metrics/${name}`);
  }

  // ---- clusterings ----

  /** @returns {Promise<Record<string, any>[]>} */
  async clusterings() {
    return (await this.request("GET", "v1/clusterings")).clusterings;
  }

  /** A clustering with its last fit. @param {string} name @returns {Promise<Record<string, any>>} */
  clustering(name) {
    return this.request("GET", path`v1/clusterings/${name}`);
  }

  /** @param {string} name @param {Record<string, unknown>} settings @returns {Promise<Record<string, any>>} */
  putClustering(name, settings) {
    return this.request("PUT", path`v1/clusterings/${name}`, { body: settings });
  }

  /** @param {string} name @returns {Promise<Record<string, any> | null>} */
  deleteClustering(name) {
    return this.request("DELETE", path`v1/clusterings/${name}`);
  }

  /** @param {string} name @returns {Promise<void>} */
  refit(name) {
    return this.request("POST", path`v1/clusterings/${name}/refit`);
  }

  // ---- two-tower models ----

  /** One page of the stored two-tower models, the newest first. @param {{limit?: number, after?: string}} [query] @returns {Promise<StoredModel[]>} */
  async models(query = {}) {
    return (await this.request("GET", "v1/models", { query })).models;
  }

  /** One stored two-tower model. @param {number | string} version @returns {Promise<StoredModel>} */
  storedModel(version) {
    return this.request("GET", path`v1/models/${String(version)}`);
  }

  // ---- tokens ----

  /**
   * Makes a token, which the server shows only this once.
   * @param {({user: string} | {service: true}) & {days?: number}} grant @returns {Promise<{token: string, jti: string}>}
   */
  createToken(grant) {
    return this.request("POST", "v1/tokens", { body: grant });
  }

  /** @param {{limit?: number, after?: string}} [query] @returns {Promise<Record<string, any>>} */
  tokens(query = {}) {
    return this.request("GET", "v1/tokens", { query });
  }

  /** @param {string} jti @returns {Promise<void>} */
  revokeToken(jti) {
    return this.request("DELETE", path`v1/tokens/${jti}`);
  }

  // ---- any route ----

  /**
   * All entries of a list, page by page, in requests made as they are read.
   * @param {string} route such as `v1/popular` @param {string} list the field of the entries, such as `items` @param {Query} [query]
   * @returns {AsyncGenerator<any, void, void>}
   */
  async *all(route, list, query = {}) {
    for (let after = query.after; ; ) {
      const page = await this.request("GET", route, { query: { ...query, after } });
      yield* page[list];
      after = page.next;
      if (after === null || after === undefined) return;
    }
  }

  /**
   * Asks any route, and returns the JSON of the answer, or null for an answer without a body. Throws `EddylineError`.
   * @param {string} method @param {string} route relative to the server @param {RequestOptions} [options] @returns {Promise<any>}
   */
  async request(method, route, { query = {}, body, headers = {}, signal, keepalive, retries = this.#retries } = {}) {
    const url = new URL(route.replace(/^\//, ""), this.#base);
    if (url.origin !== this.#base.origin) throw new TypeError(`${route} is not a route of ${this.#base.origin}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
    }
    /** @type {Record<string, string>} */
    const head = { accept: "application/json", ...headers };
    if (body !== undefined) head["content-type"] ??= "application/json";
    if (method !== "GET" && method !== "HEAD") head["idempotency-key"] ??= newId();
    const text = body === undefined ? undefined : JSON.stringify(body);
    let isLost = false;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once(url, { method, headers: head, body: text, keepalive }, signal);
      } catch (error) {
        // An earlier attempt, whose answer was lost, deleted it.
        if (isLost && method === "DELETE" && isThing(route) && error instanceof EddylineError && isGone(error)) return null;
        isLost ||= error instanceof EddylineError && error.code === "network";
        if (!(error instanceof EddylineError) || attempt >= retries || !mayRepeat(error)) throw error;
        const wait = error.retryAfter === null ? RETRY_MS * 2 ** attempt * (1 + Math.random()) : error.retryAfter * 1000;
        await pause(wait, signal);
      }
    }
  }

  /** @param {URL} url @param {RequestInit & {headers: Record<string, string>}} init @param {AbortSignal} [signal] */
  async #once(url, init, signal) {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    const headers = token ? { ...init.headers, authorization: `Bearer ${token}` } : init.headers;
    const limit = new AbortController();
    const abort = () => limit.abort(signal?.reason);
    const timer = setTimeout(() => limit.abort(new EddylineError("timeout", "the server did not answer in time")), this.#timeoutMs);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const answer = await this.#fetch(url, { ...init, headers, cache: "no-store", signal: limit.signal });
      const text = await answer.text();
      const found = parsed(text);
      if (answer.ok && (found !== undefined || text === "")) return found ?? null;
      throw problem(answer, found);
    } catch (error) {
      if (error instanceof EddylineError || signal?.aborted) throw error;
      throw new EddylineError("network", "the server does not answer", { cause: error });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

/** The results of a list, one per part. @param {any} answer @returns {Result[]} */
function results(answer) {
  return Array.isArray(answer) ? answer : answer.results;
}

/** Whether a route is that of one thing, as `v1/items/weir`, and not of a part of it. @param {string} route */
function isThing(route) {
  return route.split("/").length === 3;
}

/** @param {EddylineError} error */
function isGone({ code, status }) {
  return status === 404 && code.startsWith("unknown_") && code !== "unknown_route";
}

/** @param {EddylineError} error */
function mayRepeat({ code, status, retryAfter }) {
  if (code === "network") return true;
  return TRANSIENT.has(status) && (retryAfter ?? 0) <= RETRY_MAX_S;
}

/** @param {Response} answer @param {any} found */
function problem(answer, found) {
  const { status } = answer;
  const code = typeof found?.type === "string" ? found.type.split("/").at(-1) : "internal";
  const words = found?.detail ?? found?.title ?? `the server answered ${status}`;
  const seconds = Number(answer.headers.get("retry-after") ?? NaN);
  return new EddylineError(code, words, { status, faults: found?.errors ?? [], retryAfter: Number.isFinite(seconds) ? seconds : null });
}

/** The value of a JSON text, or undefined. @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {number} wait milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(wait, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => (clearTimeout(timer), reject(signal?.reason));
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, wait);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * A path whose values are percent-encoded. Browsers drop the parts `.` and `..` from a path, and an empty part names a list; no
 * key is any of them.
 * @param {TemplateStringsArray} parts @param {string[]} values
 */
function path(parts, ...values) {
  for (const value of values) {
    if (["", ".", "..", undefined].includes(value)) throw new TypeError(`no key: ${JSON.stringify(value)}`);
  }
  return parts.map((part, index) => part + (index < values.length ? encodeURIComponent(values[index] ?? "") : "")).join("");
}
