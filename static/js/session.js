// The session of one user: the stream, the user's reactions, and the socket for both.
//
// Invariant: a reaction appears at once as `pending`, and becomes `accepted` only after the server reports it durable.
// The tab keeps the state for a reload: the stream on screen, unacknowledged events, and reactions.

import { Clock } from "./clock.js";
import { Outbox } from "./outbox.js";
import { PatchError } from "./patch.js";
import { Line } from "./socket.js";
import { recall, remember } from "./storage.js";
import { Stream } from "./stream.js";

const REACTIONS_MAX = 500;
const REMOVES = new Set(["hide", "reject"]);

export class Session {
  clock = new Clock();
  stream;
  /** Item key to `{kind, state}`; state is pending or accepted. */
  reactions;
  #acts = new Map(); // event id to reaction and time, to name the cause of a feed
  #outbox;
  #line;
  #listener;
  #visible = "";

  constructor(person, settings, listener) {
    this.person = person;
    this.settings = settings;
    this.#listener = listener;
    const key = (name) => `${name}.${person.id}`;
    this.stream = Stream.from(recall(key("stream")));
    this.reactions = new Map(recall(key("reactions")) ?? []);
    this.#outbox = new Outbox(recall(key("outbox")) ?? [], (messages) => remember(key("outbox"), messages));
    this.save = () => {
      if (this.stream.version !== null) remember(key("stream"), this.stream);
      remember(key("reactions"), [...this.reactions].slice(-REACTIONS_MAX));
    };
    const address = new URL("/ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#line = new Line({
      url: address.href,
      hello: () => ({ user: person.id, ...this.settings }),
      resume: () => {
        const { epoch, version } = this.stream;
        return version === null ? null : { epoch, version };
      },
      outbox: this.#outbox,
      clock: this.clock,
      onState: (state, detail) => listener.onState(state, detail),
      onMessage: (message) => this.#hear(message),
    });
  }

  start() {
    this.#line.start();
  }

  stop() {
    this.save();
    this.#line.stop();
  }

  hurry() {
    this.#line.hurry();
  }

  again() {
    this.#line.start();
  }

  get state() {
    return this.#line.state;
  }

  /** The number of unacknowledged events. */
  get waiting() {
    return this.#outbox.length;
  }

  /** Records a reaction to an item; an immediate repetition is ignored. */
  react(item, kind) {
    if (this.reactions.get(item)?.kind === kind) return false;
    const message = { type: "interact", id: crypto.randomUUID(), item, kind };
    if (!this.#submit(message)) return false;
    this.reactions.delete(item); // moves to the end of the map: the oldest are dropped first
    this.reactions.set(item, { kind, state: "pending" });
    this.#listener.onReaction(item);
    return true;
  }

  /** Creates a post; `minutes` makes it live for that long. Returns its event id, or null if refused. */
  post({ text, topic, minutes }) {
    const message = { type: "post", id: crypto.randomUUID(), text };
    if (topic) message.topic = topic;
    if (minutes) {
      const start = Math.round(this.clock.now());
      message.windows = [{ start, stop: start + minutes * 60_000 }];
    }
    return this.#submit(message) ? message.id : null;
  }

  /** Sets topic weights by hand. */
  weigh(topics) {
    return this.#submit({ type: "configure", id: crypto.randomUUID(), topics });
  }

  /** Changes ranking or length; without a connection, the next hello carries it. */
  configure(settings) {
    Object.assign(this.settings, settings);
    this.stream.forgetTail();
    this.#line.say({ type: "configure", ...settings });
  }

  /** Requests the next page; false without a connection. */
  more() {
    return this.#line.say({ type: "more", after: this.stream.items.length });
  }

  /** Acknowledges the stream on screen; `visible` are the visible items, from the top. */
  drawn(visible) {
    const { version } = this.stream;
    this.#visible = visible.join("\n");
    if (version !== null) this.#line.say({ type: "drawn", version, visible });
  }

  /** Reports the visible items after scrolling: they are the negatives of a reaction. */
  sees(visible) {
    if (visible.join("\n") !== this.#visible) this.drawn(visible);
  }

  #submit(message) {
    if (!this.#outbox.add(message, this.clock.now())) {
      this.#listener.onTrouble("Too much waits to be sent: please wait for the line to come back.");
      return false;
    }
    this.#acts.set(message.id, { message, at: performance.now() });
    if (this.#acts.size > 200) this.#acts.delete(this.#acts.keys().next().value);
    this.#line.flush();
    return true;
  }

  #hear(message) {
    switch (message.type) {
      case "welcome":
        this.#listener.onDecay(message.decay);
        break;
      case "feed":
        this.stream.replace(message);
        if (message.cause?.kind === "configured") this.stream.forgetTail();
        this.#changed(message);
        break;
      case "patch":
        try {
          this.stream.change(message);
        } catch (error) {
          if (!(error instanceof PatchError)) throw error;
          this.#line.restart();
          return;
        }
        this.#changed(message);
        break;
      case "page":
        // Drops a page that was requested before the stream changed its length: it would leave a gap.
        if (message.after === this.stream.items.length) this.stream.append(message);
        this.#listener.onPage();
        break;
      case "accepted":
        this.#accepted(message);
        break;
      case "error":
        this.#error(message);
        break;
      case "model":
        this.#listener.onModel(message);
        break;
      case "live":
        this.stream.setLive(message);
        this.#listener.onLive(message);
        break;
      case "busy":
        this.#listener.onTrouble("The server is busy: nothing is lost, it will be sent again.");
        break;
    }
  }

  #changed({ cause, timing }) {
    const act = cause?.kind === "event" ? this.#acts.get(cause.id) : null;
    this.#listener.onStream({ cause, timing, act, arrived: performance.now() });
  }

  #accepted({ id, item }) {
    const message = this.#outbox.settle(id);
    if (!message) return;
    if (message.type === "interact") {
      const reaction = this.reactions.get(message.item);
      if (reaction?.kind === message.kind) reaction.state = "accepted";
      if (REMOVES.has(message.kind)) this.stream.removeFromTail(message.item);
      this.#listener.onReaction(message.item);
    }
    this.#listener.onAccepted(message, item ?? null);
  }

  #error({ code, id, message: words }) {
    if (code === "busy") return;
    const message = id ? this.#outbox.settle(id) : null;
    if (message?.type === "interact") {
      this.reactions.delete(message.item);
      this.#listener.onReaction(message.item);
    }
    this.#listener.onRefused(message, words);
  }
}
