// Dwell-time measurements of visible cards, sent in batches without waiting for answers.
//
// Invariant: only time with a visible page counts. The page never resends a lost batch in another form, since each
// measurement has an id.

import { newId } from "../../clients/javascript/src/index.js";

const LEAST_S = 1;
const MOST_S = 86_400;
const BATCH_MAX = 100;
const SEND_EVERY_MS = 15_000;
/** The visible share from which a card counts as visible. */
const IN_SIGHT = 0.5;

/** Measures the time that cards are visible. `now` returns monotonic milliseconds. */
export class Meter {
  #now;
  #newId;
  #open = new Map(); // key -> {type, since}; since is null while the page is hidden
  #done = [];
  #hidden = false;

  constructor(now = () => performance.now(), makeId = newId) {
    this.#now = now;
    this.#newId = makeId;
  }

  begin(key, type) {
    if (!this.#open.has(key)) this.#open.set(key, { type, since: this.#hidden ? null : this.#now() });
  }

  end(key) {
    const entry = this.#open.get(key);
    if (!entry) return;
    this.#open.delete(key);
    this.#count(entry);
  }

  /** Pauses all measurements until `resume`. */
  pause() {
    if (this.#hidden) return;
    this.#hidden = true;
    for (const entry of this.#open.values()) {
      this.#count(entry);
      entry.since = null;
    }
  }

  resume() {
    if (!this.#hidden) return;
    this.#hidden = false;
    for (const entry of this.#open.values()) entry.since = this.#now();
  }

  /** Takes the measurements since the last call, at most as many as one request may contain. */
  take() {
    return this.#done.splice(0, BATCH_MAX);
  }

  #count({ type, since }) {
    if (since === null) return;
    const seconds = Math.min((this.#now() - since) / 1000, MOST_S);
    // Cards that only scroll past do not count.
    if (!(seconds >= LEAST_S)) return;
    const time_spent = Math.round(seconds * 1000) / 1000;
    this.#done.push({ metric: "time_spent", page_type: type, time_spent, id: this.#newId() });
  }
}

/** The page type of a card: an item with a window is a channel. */
export const typeOf = (item) => (item.live || item.available_until !== undefined ? "channel" : "post");

/** Observes the cards of a list, and the visibility of the page. */
export class Metrics {
  #meter;
  #tell;
  #user = null;

  /** `send(user, batch)` sends the measurements of a user. */
  constructor({ list, scroller }, send, meter = new Meter()) {
    this.#meter = meter;
    this.#tell = send;
    const sight = new IntersectionObserver(
      (entries) => {
        for (const { target, intersectionRatio } of entries) {
          if (intersectionRatio >= IN_SIGHT && target.card?.item) meter.begin(target, typeOf(target.card.item));
          else meter.end(target);
        }
      },
      { root: scroller, threshold: [0, IN_SIGHT] },
    );
    new MutationObserver((changes) => {
      for (const { addedNodes, removedNodes } of changes) {
        for (const node of removedNodes) if (!node.isConnected) (sight.unobserve(node), meter.end(node));
        for (const node of addedNodes) if (node.isConnected) sight.observe(node);
      }
    }).observe(list, { childList: true });
    setInterval(() => this.#send(), SEND_EVERY_MS);
    addEventListener("pagehide", () => this.#hide());
    addEventListener("pageshow", () => document.hidden || meter.resume());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#hide() : meter.resume()));
    if (document.hidden) meter.pause();
  }

  /** Sets the user of later measurements. */
  open(user) {
    this.#meter.end(this);
    this.#meter.pause();
    this.#send();
    this.#user = user;
    if (!document.hidden) this.#meter.resume();
    this.#meter.begin(this, "feed");
  }

  #hide() {
    this.#meter.pause();
    this.#send();
  }

  #send() {
    for (let batch = this.#meter.take(); batch.length > 0; batch = this.#meter.take()) {
      if (this.#user !== null) this.#tell(this.#user, batch);
    }
  }
}
