// The socket to the server: connects, sends hello, resumes, sends pings and reconnects.
//
// Invariant: events leave in the order of the outbox, only after `welcome`. After every drop all unacknowledged events
// leave again with their ids. Only one socket counts: messages of an abandoned socket are ignored. Deliberately absent:
// the meaning of messages for the feed.

/** @import { Clock } from "./clock.js" */
/** @import { Outbox } from "./outbox.js" */
/** @import { Bye, EventMessage, FeedSettings, Refusal, ServerMessage, State } from "./types.js" */

export const SUBPROTOCOL = "eddyline.v1";
const BACKOFF_FIRST_MS = 400;
const BACKOFF_LAST_MS = 15_000;
const PING_EVERY_MS = 15_000;
const PONG_WITHIN_MS = 10_000;
const WELCOME_WITHIN_MS = 10_000;
const OPEN = 1;
// Errors after which a repeated hello cannot succeed.
const HOPELESS = new Set(["unknown_user", "unauthorized", "forbidden", "bad_field", "out_of_range"]);

/**
 * The part of a WebSocket that a connection uses.
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {(text: string) => void} send
 * @property {(code?: number) => void} close
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} [onerror]
 */

/** @typedef {{user: string, token?: string} & FeedSettings} Hello */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url
 * @property {(url: string, protocols: string[]) => Socket} makeSocket
 * @property {() => Hello | Promise<Hello>} hello
 * @property {() => {epoch: number, version: number} | null} resume the feed that the client still shows
 * @property {Outbox} outbox
 * @property {Pick<Clock, "learn" | "now">} clock
 * @property {(state: State, detail: {retryIn: number} | Refusal | null) => void} onState
 * @property {(message: ServerMessage) => void} onMessage
 * @property {() => number} [random]
 */

/**
 * The back-off before an attempt: exponential, half of it random.
 * @param {number} attempt from 0 @param {() => number} [random]
 */
export function backoff(attempt, random = Math.random) {
  const full = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return Math.round(full / 2 + (random() * full) / 2);
}

/** A connection that restores itself until `stop`. */
export class Connection {
  #options;
  /** @type {Socket | null} */
  #socket = null;
  #welcomed = false;
  #attempt = 0;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  /** @type {State} */
  #state = "closed";
  #fresh = false;

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
  }

  get state() {
    return this.#state;
  }

  start() {
    this.#attempt = 0;
    this.#open();
  }

  stop() {
    this.#abandon();
    this.#setState("closed");
  }

  /** Reconnects at once: the network is back, or the user asked. */
  hurry() {
    if (this.#state === "waiting" || this.#state === "offline") this.start();
  }

  /** Requests a whole feed, since the shown one cannot be patched any more. */
  restart() {
    this.#fresh = true;
    this.#abandon();
    this.#open();
  }

  /**
   * Sends a message that needs no acknowledgement; false without a connection.
   * @param {Record<string, unknown> | EventMessage} message
   */
  say(message) {
    if (!this.#welcomed || this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Sends the events of the outbox, unless the server asked for a pause. */
  flush() {
    if (!this.#welcomed || this.#timers.has("pause")) return;
    for (const message of this.#options.outbox.takeUnsent(this.#options.clock.now())) this.say(message);
  }

  #open() {
    this.#abandon();
    this.#setState("connecting");
    let socket;
    try {
      socket = this.#options.makeSocket(this.#options.url, [SUBPROTOCOL]);
    } catch {
      this.#lost();
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.#hello(socket);
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = () => this.#lost();
    // `onclose` follows. Without a listener, the package `ws` would throw.
    socket.onerror = () => {};
    // Also covers a server that accepts the connection and then stays silent.
    this.#after("welcome", WELCOME_WITHIN_MS, () => this.#lost());
  }

  /** @param {Socket} socket */
  #hello(socket) {
    const hello = this.#options.hello();
    if (!(hello instanceof Promise)) return this.#greet(hello);
    hello.then(
      (found) => this.#socket === socket && this.#greet(found),
      () => this.#socket === socket && this.#lost(),
    );
  }

  /** @param {Hello} hello */
  #greet(hello) {
    const resume = this.#fresh ? null : this.#options.resume();
    this.#socket?.send(JSON.stringify({ type: "hello", ...hello, ...(resume ? { resume } : {}) }));
  }

  /** @param {string} data */
  #hear(data) {
    /** @type {ServerMessage} */
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.restart();
      return;
    }
    switch (message.type) {
      case "welcome":
        this.#options.clock.learn(message.server_time);
        this.#welcomed = true;
        this.#fresh = false;
        this.#attempt = 0;
        this.#cancel("welcome");
        this.#setState("online");
        this.#after("ping", PING_EVERY_MS, () => this.#ping());
        break;
      case "pong":
        this.#options.clock.learn(message.server_time);
        this.#cancel("pong");
        break;
      case "busy":
        this.#pause(message);
        break;
      case "error":
        if (message.code === "busy") this.#pause({ id: message.id, retry_after_ms: 1000 });
        else if (!this.#welcomed) this.#refused(message);
        break;
      case "bye":
        this.#lost();
        break;
    }
    this.#options.onMessage(message);
    // Runs after the session has handled `welcome`, so that the user is known before the first answer.
    if (message.type === "welcome") this.flush();
  }

  /** @param {{id?: string, retry_after_ms: number}} busy */
  #pause({ id, retry_after_ms: wait }) {
    this.#options.outbox.unsend(id ?? null);
    // Jitter, so that rejected clients do not return within one millisecond.
    const again = Math.max(50, wait) * (1 + Math.random() / 4);
    if (this.#welcomed) this.#after("pause", again, () => this.flush());
    else this.#lost(again);
  }

  /** @param {Refusal} error */
  #refused(error) {
    if (!HOPELESS.has(error.code)) return this.#lost();
    this.#abandon();
    this.#setState("refused", error);
  }

  #ping() {
    this.say({ type: "ping", t: Date.now() });
    this.#after("pong", PONG_WITHIN_MS, () => this.#lost());
    this.#after("ping", PING_EVERY_MS, () => this.#ping());
  }

  /** @param {number | null} [wait] */
  #lost(wait = null) {
    this.#abandon();
    const retryIn = wait ?? backoff(this.#attempt, this.#options.random);
    this.#attempt += 1;
    // Only a hint for the user: a server on this machine is reachable without a network.
    const offline = globalThis.navigator?.onLine === false;
    this.#setState(offline ? "offline" : "waiting", { retryIn });
    this.#after("retry", retryIn, () => this.#open());
  }

  #abandon() {
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    this.#welcomed = false;
    this.#options.outbox.unsend();
    if (!this.#socket) return;
    const socket = this.#socket;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  /** @param {State} state @param {{retryIn: number} | Refusal | null} [detail] */
  #setState(state, detail = null) {
    this.#state = state;
    this.#options.onState(state, detail);
  }

  /** @param {string} name @param {number} wait @param {() => void} action */
  #after(name, wait, action) {
    this.#cancel(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, wait);
    this.#timers.set(name, timer);
  }

  /** @param {string} name */
  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
