// The socket to the server: connects, sends hello, resumes, sends pings and reconnects.
//
// Invariant: events leave in the order of the outbox, only after `welcome`. After every drop all unacknowledged events
// leave again with their ids. Only one socket counts: messages of an abandoned socket are ignored. Deliberately absent:
// the DOM, and the meaning of messages for the feed.

export const SUBPROTOCOL = "eddyline.v1";
const BACKOFF_FIRST_MS = 400;
const BACKOFF_LAST_MS = 15_000;
const PING_EVERY_MS = 15_000;
const PONG_WITHIN_MS = 10_000;
const WELCOME_WITHIN_MS = 10_000;
// Errors after which a repeated hello cannot succeed.
const HOPELESS = new Set(["unknown_user", "unauthorized", "forbidden", "bad_field", "out_of_range"]);

/** The back-off before attempt number `attempt` (from 0): exponential, half of it random. */
export function backoff(attempt, random = Math.random) {
  const full = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return Math.round(full / 2 + (random() * full) / 2);
}

export class Line {
  #options;
  #socket = null;
  #welcomed = false;
  #attempt = 0;
  #timers = new Map();
  #state = "closed";
  #fresh = false;

  /**
   * `hello()` returns user, ranking, limit, token; `resume()` returns `{epoch, version}` or null; `outbox` contains the
   * events; `clock` estimates the server's time; `onState(state, detail)`; `onMessage(message)`.
   */
  constructor(options) {
    this.#options = { makeSocket: (url, protocols) => new WebSocket(url, protocols), ...options };
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

  /** Requests a whole feed, since the stream cannot be patched any more. */
  restart() {
    this.#fresh = true;
    this.#abandon();
    this.#open();
  }

  /** Sends a message that needs no acknowledgement; false without a connection. */
  say(message) {
    if (!this.#welcomed || this.#socket?.readyState !== 1) return false;
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
    socket.onopen = () => this.#hello();
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = () => this.#lost();
    // Also covers a server that accepts the connection and then stays silent.
    this.#after("welcome", WELCOME_WITHIN_MS, () => this.#lost());
  }

  #hello() {
    const resume = this.#fresh ? null : this.#options.resume();
    const message = { type: "hello", ...this.#options.hello(), explain: true, timing: true };
    if (resume) message.resume = resume;
    this.#socket.send(JSON.stringify(message));
  }

  #hear(data) {
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
    // Runs after the page has handled `welcome`, so that the user is known before the first answer.
    if (message.type === "welcome") this.flush();
  }

  #pause({ id, retry_after_ms: wait }) {
    this.#options.outbox.unsend(id ?? null);
    // Jitter, so that rejected clients do not reconnect within one millisecond.
    const again = Math.max(50, wait) * (1 + Math.random() / 4);
    if (this.#welcomed) this.#after("pause", again, () => this.flush());
    else this.#lost(again);
  }

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

  #setState(state, detail = null) {
    this.#state = state;
    this.#options.onState(state, detail);
  }

  #after(name, wait, action) {
    this.#cancel(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, wait);
    this.#timers.set(name, timer);
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
