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

  /** Replaces the head by a `feed`. */
  replace(message) {
    ({ version: this.version, epoch: this.epoch, ranking: this.ranking } = message);
    this.head = numbered(message.items);
    this.#trimTail();
  }

  /** Applies a `patch`. Throws `PatchError` if it belongs to another feed. */
  change(message) {
    if (message.base !== this.version) {
      throw new PatchError(`a patch of version ${message.base}, here is ${this.version}`);
    }
    this.head = applyOperations(this.head, message.ops);
    ({ version: this.version, epoch: this.epoch } = message);
    this.#trimTail();
  }

  /** Appends a `page` to the tail. */
  append(message) {
    this.tail = [...this.tail, ...message.items];
    this.end = message.end;
    this.#trimTail();
  }

  /** Removes an item that the user hid from the tail, for which the server sends no patch. */
  removeFromTail(key) {
    this.tail = this.tail.filter(({ item }) => item !== key);
  }

  /** Marks an item as live or ended. */
  setLive({ item: key, available, until }) {
    const change = (item) =>
      item.item === key ? { ...item, live: available, available_until: until ?? item.available_until } : item;
    this.head = this.head.map(change);
    this.tail = this.tail.map(change);
  }

  /** Drops the tail after a change of ranking, since it has the old order. */
  forgetTail() {
    this.tail = [];
    this.end = false;
  }

  /** The state for a resume after a reload: the head only, since the server patches no more. */
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
