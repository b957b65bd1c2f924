// The live session of one user: the feed, the events, and the connection for both.
//
// Invariant: an event stays in the outbox, and in the storage, until the server accepts or refuses it. It keeps its id,
// so the server learns it once.

import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { EddylineError } from "./errors.js";
import { Feed } from "./feed.js";
import { Outbox } from "./outbox.js";
import { PatchError } from "./patch.js";
import { MemoryStorage, recall, remember } from "./storage.js";

/** @import { Socket } from "./connection.js" */
/**
 * @import { Accepted, Busy, Bye, Cause, EventMessage, FeedSettings, Kind, Live, Model, Page, Refusal, State, TextStorage,
 *   Timing, Token, Welcome, Window } from "./types.js"
 */

const REMOVES = new Set(["hide", "reject"]);

/**
 * @typedef {object} SessionOptions
 * @property {Token} [token]
 * @property {FeedSettings["ranking"]} [ranking] `model` by default
 * @property {number} [limit] length of the feed, 30 by default
 * @property {boolean} [explain] explain each item
 * @property {boolean} [timing] report how long each step took
 * @property {TextStorage} [storage] keeps events and feed for a restart; the memory of the process by default
 * @property {string} [prefix] begins each name in the storage, `eddyline` by default
 * @property {"auto" | "manual"} [acknowledge] `auto` acknowledges each feed at once; with `manual`, call `drawn`
 */

/**
 * @typedef {object} Events
 * @property {{state: State, detail: {retryIn: number} | Refusal | null}} state
 * @property {Welcome} welcome
 * @property {{feed: Feed, cause?: Cause, timing?: Timing}} feed the feed changed
 * @property {Page} page the feed has another page in its tail
 * @property {{event: EventMessage, answer: Accepted}} accepted an event is durable
 * @property {{event: EventMessage | null, error: Refusal}} refused a message was refused; without event it had no id
 * @property {Model} model
 * @property {Live} live
 * @property {Busy} busy
 * @property {Bye} bye
 */

/**
 * An event on its way. `done` resolves with the answer once the event is durable.
 * @typedef {{id: string, message: EventMessage, done: Promise<Accepted>}} Sent
 */

/** The live session of one user. */
export class Session {
  clock = new Clock();
  /** @type {Feed} */
  feed;
  #outbox;
  #connection;
  #settings;
  #storage;
  #feedName;
  #acknowledge;
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, {resolve: (answer: Accepted) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();

  /**
   * @param {string} user
   * @param {SessionOptions & {url: string, makeSocket: (url: string, protocols: string[]) => Socket}} options
   */
  constructor(user, options) {
    const { url, makeSocket, token = null, storage, prefix = "eddyline", acknowledge = "auto", ...rest } = options;
    const { ranking, limit, explain, timing } = rest;
    this.user = user;
    this.#settings = defined({ ranking, limit, explain, timing });
    this.#acknowledge = acknowledge;
    this.#storage = storage ?? new MemoryStorage();
    this.#feedName = `${prefix}.feed.${user}`;
    const outboxName = `${prefix}.outbox.${user}`;
    this.feed = Feed.from(recall(this.#storage, this.#feedName));
    const kept = recall(this.#storage, outboxName);
    this.#outbox = new Outbox(Array.isArray(kept) ? kept : [], (messages) => remember(this.#storage, outboxName, messages));
    this.#connection = new Connection({
      url,
      makeSocket,
      hello: () => {
        const given = typeof token === "function" ? token() : token;
        /** @param {string | null | undefined} found */
        const hello = (found) => ({ user, ...(found ? { token: found } : {}), ...this.#settings });
        return given instanceof Promise ? given.then(hello) : hello(given);
      },
      resume: () => {
        const { epoch, version } = this.feed;
        return version === null || epoch === null ? null : { epoch, version };
      },
      outbox: this.#outbox,
      clock: this.clock,
      onState: (state, detail) => this.#emit("state", { state, detail }),
      onMessage: (message) => this.#hear(message),
    });
  }

  /** @type {State} */
  get state() {
    return this.#connection.state;
  }

  /** The number of unacknowledged events. */
  get waiting() {
    return this.#outbox.length;
  }

  /** The ids of the unacknowledged events, oldest first. */
  get waitingIds() {
    return this.#outbox.messages.map(({ id }) => id);
  }

  /**
   * Calls `listener` for each event of this name. Returns a function that ends it.
   * @template {keyof Events} Name
   * @param {Name} name @param {(event: Events[Name]) => void} listener
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * Waits for the next event of this name that passes the test.
   * @template {keyof Events} Name
   * @param {Name} name @param {(event: Events[Name]) => boolean} [test]
   * @returns {Promise<Events[Name]>}
   */
  next(name, test = () => true) {
    return new Promise((resolve) => {
      const end = this.on(name, (event) => {
        if (!test(event)) return;
        end();
        resolve(event);
      });
    });
  }

  /** Connects, and keeps the connection until `close`. */
  start() {
    this.#connection.start();
    return this;
  }

  /** Reconnects at once instead of after the back-off. */
  hurry() {
    this.#connection.hurry();
  }

  /** Stores the feed, so that a session after a restart resumes it. Events are always stored. */
  save() {
    if (this.feed.version !== null) remember(this.#storage, this.#feedName, this.feed);
  }

  /** Ends the connection. Unacknowledged events stay in the storage; the next session of this user sends them. */
  close() {
    this.save();
    this.#connection.stop();
    for (const { reject } of this.#waiting.values()) {
      reject(new EddylineError("closed", "the session closed before the event was accepted; the storage keeps it"));
    }
    this.#waiting.clear();
  }

  /**
   * The user acts on an item.
   * @param {string} item @param {Kind} kind @param {{dwell_ms?: number, at?: number, id?: string}} [more]
   */
  interact(item, kind, { id = newId(), ...more } = {}) {
    return this.#submit({ type: "interact", id, item, kind, ...more });
  }

  /** @param {string} item */
  like(item) {
    return this.interact(item, "like");
  }

  /** @param {string} item */
  hide(item) {
    return this.interact(item, "hide");
  }

  /** Takes back all likes of an item. @param {string} item */
  unlike(item) {
    return this.interact(item, "unlike");
  }

  /** Takes back all hides and rejects of an item. @param {string} item */
  unhide(item) {
    return this.interact(item, "unhide");
  }

  /**
   * Takes back one interaction, named by its event id.
   * @param {string} event @param {{id?: string}} [more]
   */
  undo(event, { id = newId() } = {}) {
    return this.#submit({ type: "undo", id, event });
  }

  /**
   * The user makes an item; the answer names it in `item`.
   * @param {string} text @param {{topic?: string, embedding?: number[], windows?: Window[], id?: string}} [more]
   */
  post(text, { id = newId(), ...more } = {}) {
    return this.#submit({ type: "post", id, text, ...more });
  }

  /**
   * An item of the user goes on air, or off.
   * @param {string} item @param {boolean} on @param {{id?: string}} [more]
   */
  setLive(item, on, { id = newId() } = {}) {
    return this.#submit({ type: "live", id, item, on });
  }

  /** @param {string} user @param {{id?: string}} [more] */
  follow(user, { id = newId() } = {}) {
    return this.#submit({ type: "follow", id, user });
  }

  /** @param {string} user @param {{id?: string}} [more] */
  unfollow(user, { id = newId() } = {}) {
    return this.#submit({ type: "unfollow", id, user });
  }

  /**
   * Sets topic weights by hand, 0 to 1.
   * @param {Record<string, number>} topics @param {{id?: string}} [more]
   */
  setTopics(topics, { id = newId() } = {}) {
    return this.#submit({ type: "configure", id, topics });
  }

  /**
   * Changes ranking, length, explanation or timing; without a connection, the next hello carries it.
   * @param {FeedSettings} settings
   */
  configure(settings) {
    const given = defined(settings);
    Object.assign(this.#settings, given);
    this.feed.forgetTail();
    this.#connection.say({ type: "configure", ...given });
  }

  /** Requests the page below the feed; false without a connection. */
  more() {
    return this.#connection.say({ type: "more", after: this.feed.items.length });
  }

  /**
   * Acknowledges the feed on the screen, which releases the next one.
   * @param {string[]} [visible] keys of the visible items, from the top
   */
  drawn(visible) {
    const { version } = this.feed;
    if (version !== null) this.#connection.say({ type: "drawn", version, ...(visible ? { visible } : {}) });
  }

  /**
   * @param {EventMessage} message
   * @returns {Sent}
   */
  #submit(message) {
    if (!this.#outbox.add(message, this.clock.now())) {
      throw new EddylineError("outbox_full", "too many events wait for the server, or the event exceeds 60 KiB");
    }
    const done = new Promise((/** @type {(answer: Accepted) => void} */ resolve, reject) => {
      this.#waiting.set(message.id, { resolve, reject });
    });
    // A caller that does not wait hears of a refusal by the event `refused`.
    done.catch(() => {});
    this.#connection.flush();
    return { id: message.id, message, done };
  }

  /** @param {import("./types.js").ServerMessage} message */
  #hear(message) {
    switch (message.type) {
      case "feed":
        this.feed.replace(message);
        this.#changed(message);
        break;
      case "patch":
        try {
          this.feed.change(message);
        } catch (error) {
          if (!(error instanceof PatchError)) throw error;
          this.#connection.restart();
          return;
        }
        this.#changed(message);
        break;
      case "page":
        // Drops a page that was requested before the feed changed its length: it would leave a gap.
        if (message.after === this.feed.items.length) this.feed.append(message);
        this.#emit("page", message);
        break;
      case "accepted":
        this.#accepted(message);
        break;
      case "error":
        this.#error(message);
        break;
      case "live":
        this.feed.setLive(message);
        this.#emit("live", message);
        break;
      case "welcome":
      case "model":
      case "busy":
      case "bye":
        this.#emit(message.type, message);
        break;
    }
  }

  /** @param {{cause?: Cause, timing?: Timing}} message */
  #changed({ cause, timing }) {
    if (cause?.kind === "configured") {
      this.feed.forgetTail();
      // A patch does not name the ranking.
      this.feed.ranking = this.#settings.ranking ?? this.feed.ranking;
    }
    if (this.#acknowledge === "auto") this.drawn();
    this.#emit("feed", { feed: this.feed, cause, timing });
  }

  /** @param {Accepted} answer */
  #accepted(answer) {
    const event = this.#outbox.settle(answer.id);
    if (!event) return;
    if (event.type === "interact" && REMOVES.has(event.kind)) this.feed.removeFromTail(event.item);
    this.#take(answer.id)?.resolve(answer);
    this.#emit("accepted", { event, answer });
  }

  /** @param {Refusal} error */
  #error(error) {
    if (error.code === "busy") return;
    const event = error.id === undefined ? null : this.#outbox.settle(error.id);
    if (error.id !== undefined) {
      const faults = error.field === undefined ? [] : [{ field: error.field, message: error.message }];
      this.#take(error.id)?.reject(new EddylineError(error.code, error.message, { faults }));
    }
    this.#emit("refused", { event, error });
  }

  /** @param {string} id */
  #take(id) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name @param {Events[Name]} event
   */
  #emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(event);
  }
}

/** An id that no other event has. Browsers offer `randomUUID` only to pages by HTTPS and of this machine. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The given fields that have a value.
 * @template {object} Fields
 * @param {Fields} fields @returns {Partial<Fields>}
 */
function defined(fields) {
  return /** @type {Partial<Fields>} */ (Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
}
