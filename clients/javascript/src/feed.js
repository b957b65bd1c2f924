// The feed of a user, as data.
//
// Invariant: `items` contains no item twice. The head follows the server's feed exactly. The tail contains the pages
// below it as of their loading, without items that have risen into the head since.

import { PatchError, applyOperations, numbered } from "./patch.js";

/** @import { FeedItem, FeedMessage, Live, Page, PatchMessage, Ranking } from "./types.js" */

/** The entries of a feed, and the version that they have. */
export class Feed {
  /** @type {number | null} */
  version = null;
  /** @type {number | null} */
  epoch = null;
  /** @type {Ranking | null} */
  ranking = null;
  /** @type {FeedItem[]} */
  head = [];
  /** @type {FeedItem[]} */
  tail = [];
  /** Whether the tail ends with the last page. */
  end = false;

  get items() {
    return [...this.head, ...this.tail];
  }

  /**
   * Replaces the head by a `feed`.
   * @param {Omit<FeedMessage, "type">} message
   */
  replace(message) {
    ({ version: this.version, epoch: this.epoch, ranking: this.ranking } = message);
    this.head = numbered(message.items);
    this.#trimTail();
  }

  /**
   * Applies a `patch`. Throws `PatchError` if it belongs to another feed.
   * @param {Omit<PatchMessage, "type">} message
   */
  change(message) {
    if (message.base !== this.version) {
      throw new PatchError(`a patch of version ${message.base}, here is ${this.version}`);
    }
    this.head = applyOperations(this.head, message.ops);
    ({ version: this.version, epoch: this.epoch } = message);
    this.#trimTail();
  }

  /**
   * Appends a `page` to the tail.
   * @param {Omit<Page, "type">} message
   */
  append(message) {
    this.tail = [...this.tail, ...message.items];
    this.end = message.end;
    this.#trimTail();
  }

  /**
   * Removes an item that the user hid from the tail, for which the server sends no patch.
   * @param {string} key
   */
  removeFromTail(key) {
    this.tail = this.tail.filter(({ item }) => item !== key);
  }

  /**
   * Marks an item as live or ended.
   * @param {Omit<Live, "type">} message
   */
  setLive({ item: key, available, until }) {
    /** @param {FeedItem} item */
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

  /** The state for a resume: the head only, since the server patches no more. */
  toJSON() {
    const { version, epoch, ranking, head } = this;
    return { version, epoch, ranking, head };
  }

  /** @param {any} saved the JSON of a feed, or anything else for an empty one */
  static from(saved) {
    const feed = new Feed();
    if (saved && Number.isInteger(saved.version) && Number.isInteger(saved.epoch) && Array.isArray(saved.head)) {
      ({ version: feed.version, epoch: feed.epoch, ranking: feed.ranking, head: feed.head } = saved);
    }
    return feed;
  }

  #trimTail() {
    const known = new Set(this.head.map(({ item }) => item));
    this.tail = this.tail.filter(({ item }) => !known.has(item) && known.add(item));
  }
}
