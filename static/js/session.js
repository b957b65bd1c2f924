// The session of one user on the page: the user's reactions beside the session of the client library.
//
// Invariant: a reaction appears at once as `pending`, and becomes `accepted` only after the server reports it durable.
// The tab keeps the state for a reload: the feed on screen, unacknowledged events, and reactions.

import { server, standing } from "./server.js";
import { recall, remember } from "./storage.js";

const REACTIONS_MAX = 500;
const STANDING_AFTER_MS = 300;
// Kinds that the server lists; others are known to the tab alone.
const STANDS = new Set(["like", "hide", "reject"]);

export class Session {
  /** Item key to `{kind, state, event}`: state is pending or accepted, event the id of the event where this tab made it. */
  reactions;
  #acts = new Map(); // event id to reaction and time, to name the cause of a feed
  #live;
  #listener;
  #visible = "";
  #reading = 0;
  #undoing = new Map(); // id of a cancellation on its way to its item

  constructor(person, settings, listener) {
    this.person = person;
    this.settings = settings;
    this.#listener = listener;
    this.reactions = new Map(recall(`reactions.${person.id}`) ?? []);
    const live = server().session(person.id, {
      ...settings,
      explain: true,
      timing: true,
      storage: tabStorage(),
      acknowledge: "manual",
    });
    this.#live = live;
    live.on("state", ({ state, detail }) => listener.onState(state, detail));
    live.on("welcome", ({ decay }) => {
      listener.onDecay(decay);
      this.#readStanding();
    });
    live.on("feed", ({ cause, timing }) => {
      const act = cause?.kind === "event" ? this.#acts.get(cause.id) : null;
      // Another tab of this user may have reacted.
      if (cause?.kind === "event" && !act) this.#readStanding();
      listener.onStream({ cause, timing, act, arrived: performance.now() });
    });
    live.on("page", () => listener.onPage());
    live.on("accepted", ({ event, answer }) => this.#accepted(event, answer));
    live.on("refused", ({ event, error }) => this.#refused(event, error));
    live.on("model", (message) => listener.onModel(message));
    live.on("live", (message) => listener.onLive(message));
    live.on("busy", () => listener.onTrouble("The server is busy: nothing is lost, it will be sent again."));
  }

  get stream() {
    return this.#live.feed;
  }

  get clock() {
    return this.#live.clock;
  }

  get state() {
    return this.#live.state;
  }

  /** The number of unacknowledged events. */
  get waiting() {
    return this.#live.waiting;
  }

  start() {
    this.#live.start();
  }

  stop() {
    this.save();
    this.#live.close();
  }

  save() {
    this.#live.save();
    remember(`reactions.${this.person.id}`, [...this.reactions].slice(-REACTIONS_MAX));
  }

  hurry() {
    this.#live.hurry();
  }

  again() {
    this.#live.start();
  }

  /** Records a reaction to an item; its repetition takes it back. */
  react(item, kind) {
    if (this.reactions.get(item)?.kind === kind) return this.undo(item);
    const event = this.#submit(() => this.#live.interact(item, kind));
    if (!event) return false;
    this.reactions.delete(item); // moves to the end of the map: the oldest are dropped first
    this.reactions.set(item, { kind, state: "pending", event });
    this.#listener.onReaction(item);
    return true;
  }

  /** Takes back the reaction to an item; false if there is none, or another tab made it and it cannot be named. */
  undo(item) {
    const reaction = this.reactions.get(item);
    const inverse = { like: "unlike", hide: "unhide", reject: "unhide" }[reaction?.kind];
    if (!inverse && !reaction?.event) return false;
    const id = this.#submit(() => (inverse ? this.#live.interact(item, inverse) : this.#live.undo(reaction.event)));
    if (!id) return false;
    this.#undoing.set(id, item);
    this.reactions.delete(item);
    this.#listener.onReaction(item);
    return true;
  }

  /** Creates a post; `minutes` makes it live for that long. Returns its event id, or null if refused. */
  post({ text, topic, minutes }) {
    const more = {};
    if (topic) more.topic = topic;
    if (minutes) {
      const start = Math.round(this.clock.now());
      more.windows = [{ start, stop: start + minutes * 60_000 }];
    }
    return this.#submit(() => this.#live.post(text, more));
  }

  /** Sets topic weights by hand. */
  weigh(topics) {
    return this.#submit(() => this.#live.setTopics(topics)) !== null;
  }

  /** Changes ranking or length; without a connection, the next hello carries it. */
  configure(settings) {
    Object.assign(this.settings, settings);
    this.#live.configure(settings);
  }

  /** Requests the next page; false without a connection. */
  more() {
    return this.#live.more();
  }

  /** Acknowledges the stream on screen; `visible` are the visible items, from the top. */
  drawn(visible) {
    this.#visible = visible.join("\n");
    // Kept cards may have left the stream.
    const known = new Set(this.stream.items.map(({ item }) => item));
    this.#live.drawn(visible.filter((item) => known.has(item)));
  }

  /** Reports the visible items after scrolling: they are the negatives of a reaction. */
  sees(visible) {
    if (visible.join("\n") !== this.#visible) this.drawn(visible);
  }

  /** Reads what the user likes and hid by now, in any tab; calls in quick succession are merged. */
  #readStanding() {
    clearTimeout(this.#reading);
    this.#reading = setTimeout(async () => {
      try {
        this.#stand(await standing(this.person.id));
      } catch {
        // The next reaction or connection reads them again.
      }
    }, STANDING_AFTER_MS);
  }

  /** Shows the reactions that the server holds. Reactions on their way stay as they are. */
  #stand({ liked, hidden, whole }) {
    const all = [...liked, ...hidden].sort((left, right) => left.seq - right.seq);
    const found = new Map(all.map(({ item, kind }) => [item, kind]));
    const undoing = new Set(this.#undoing.values());
    const changed = [];
    for (const [item, kind] of found) {
      const reaction = this.reactions.get(item);
      if (undoing.has(item) || (reaction && (reaction.state === "pending" || reaction.kind === kind || !STANDS.has(reaction.kind)))) continue;
      this.reactions.set(item, { kind, state: "accepted" });
      changed.push(item);
    }
    for (const [item, { kind, state }] of this.reactions) {
      if (!whole || state === "pending" || !STANDS.has(kind) || found.has(item)) continue;
      this.reactions.delete(item);
      changed.push(item);
    }
    for (const item of changed) this.#listener.onReaction(item, false);
    this.#listener.onStanding({ liked, hidden });
  }

  /** Sends an event, and returns its id; null if the outbox is full. */
  #submit(send) {
    let sent;
    try {
      sent = send();
    } catch (error) {
      if (error.code !== "outbox_full") throw error;
      this.#listener.onTrouble("Too much waits to be sent: please wait for the line to come back.");
      return null;
    }
    this.#acts.set(sent.id, { message: sent.message, at: performance.now() });
    if (this.#acts.size > 200) this.#acts.delete(this.#acts.keys().next().value);
    return sent.id;
  }

  #accepted(event, { item }) {
    this.#undoing.delete(event.id);
    if (event.type === "interact") {
      const reaction = this.reactions.get(event.item);
      if (reaction?.kind === event.kind) reaction.state = "accepted";
      this.#listener.onReaction(event.item);
    }
    if (event.type === "interact" || event.type === "undo") this.#readStanding();
    this.#listener.onAccepted(event, item ?? null);
  }

  #refused(event, { message }) {
    this.#undoing.delete(event?.id);
    if (event?.type === "interact") {
      if (this.reactions.get(event.item)?.event === event.id) this.reactions.delete(event.item);
      this.#listener.onReaction(event.item);
    }
    if (event?.type === "interact" || event?.type === "undo") this.#readStanding();
    this.#listener.onRefused(event, message);
  }
}

/** The storage of this tab; undefined where the browser forbids it. */
function tabStorage() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}
