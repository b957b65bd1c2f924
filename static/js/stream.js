// The stream of the user, as data.
//
// Invariant: `items` contains no item twice. The head follows the server's feed exactly. The tail contains the pages
// below it as of their loading, without items that have risen into the head since.

import { PatchError, applyOperations, numbered } from "./patch.js";

export class Stream {
  version = null;
  epoch = null;
  ranking = null;
  head = [];
  tail = [];
  end = false;

  get items() {
    return [...this.head, ...this.tail];
  }

  /** Takes a `feed`. */
  replace(message) {
    ({ version: this.version, epoch: this.epoch, ranking: this.ranking } = message);
    this.head = numbered(message.items);
    this.#trimTail();
  }

  /** Takes a `patch`. Throws `PatchError` when it belongs to a feed that is not here. */
  change(message) {
    if (message.base !== this.version) {
      throw new PatchError(`a patch of version ${message.base}, here is ${this.version}`);
    }
    this.head = applyOperations(this.head, message.ops);
    ({ version: this.version, epoch: this.epoch } = message);
    this.#trimTail();
  }

  /** Takes a `page`. */
  append(message) {
    this.tail = [...this.tail, ...message.items];
    this.end = message.end;
    this.#trimTail();
  }

  /** The server sends no patch for what was only paged in, so what the person hid leaves here. */
  removeFromTail(key) {
    this.tail = this.tail.filter(({ item }) => item !== key);
  }

  /** An item of the feed went on or off the air. */
  setLive({ item: key, available, until }) {
    const change = (item) =>
      item.item === key ? { ...item, live: available, available_until: until ?? item.available_until } : item;
    this.head = this.head.map(change);
    this.tail = this.tail.map(change);
  }

  /** Another ranking: what was paged in below is in the old order. */
  forgetTail() {
    this.tail = [];
    this.end = false;
  }

  /** What a reload needs in order to resume: the head only, for the server patches no more than that. */
  toJSON() {
    const { version, epoch, ranking, head } = this;
    return { version, epoch, ranking, head };
  }

  static from(saved) {
    const stream = new Stream();
    if (saved && Number.isInteger(saved.version) && Number.isInteger(saved.epoch) && Array.isArray(saved.head)) {
      ({ version: stream.version, epoch: stream.epoch, ranking: stream.ranking, head: stream.head } = saved);
    }
    return stream;
  }

  #trimTail() {
    const known = new Set(this.head.map(({ item }) => item));
    this.tail = this.tail.filter(({ item }) => !known.has(item) && known.add(item));
  }
}
