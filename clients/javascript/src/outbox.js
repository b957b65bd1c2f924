// Events that the server has not acknowledged yet.
//
// Invariant: events keep the user's order. Each event keeps its id through all resends, so that the server learns it
// once. The outbox is bounded: beyond its limit, `add` refuses.

/** @import { EventMessage } from "./types.js" */

/** Largest number of unacknowledged events. */
export const ENTRIES_MAX = 200;
// The server closes the socket on a frame over 64 KiB, and a resend would close it again and again.
const FRAME_BYTES_MAX = 60 * 1024;
// An event that waited longer than this before its first sending carries its own time.
const WAITED_MS = 2000;

/** A bounded queue of events. */
export class Outbox {
  /** @type {{message: EventMessage, sent: boolean, madeAt: number | null}[]} */
  #entries;
  #save;

  /** @param {EventMessage[]} [messages] @param {(messages: EventMessage[]) => void} [save] */
  constructor(messages = [], save = () => {}) {
    this.#entries = messages.map((message) => ({ message, sent: false, madeAt: null }));
    this.#save = save;
  }

  get length() {
    return this.#entries.length;
  }

  get messages() {
    return this.#entries.map(({ message }) => message);
  }

  /**
   * Keeps an event until its acknowledgement. False if the outbox is full or the event exceeds a frame.
   * @param {EventMessage} message @param {number} madeAt time of the event by the server's clock
   */
  add(message, madeAt) {
    if (this.#entries.length >= ENTRIES_MAX) return false;
    if (new TextEncoder().encode(JSON.stringify(message)).length > FRAME_BYTES_MAX) return false;
    this.#entries.push({ message, sent: false, madeAt });
    this.#save(this.messages);
    return true;
  }

  /**
   * The events to send now, oldest first, and marks them as sent.
   * @param {number} now the server's clock
   */
  takeUnsent(now) {
    const entries = this.#entries.filter(({ sent }) => !sent);
    for (const entry of entries) {
      entry.sent = true;
      const { message, madeAt } = entry;
      if (madeAt !== null && now - madeAt > WAITED_MS && message.type === "interact" && message.at === undefined) {
        entry.message = { ...message, at: Math.round(madeAt) };
      }
      entry.madeAt = null; // a resend keeps the time
    }
    if (entries.length > 0) this.#save(this.messages);
    return entries.map(({ message }) => message);
  }

  /**
   * Marks one event, or all, for a resend: the socket dropped, or the server was busy.
   * @param {string | null} [id]
   */
  unsend(id = null) {
    for (const entry of this.#entries) if (id === null || entry.message.id === id) entry.sent = false;
  }

  /**
   * Removes an event after the server's final answer, and returns its message if it was waiting.
   * @param {string} id
   */
  settle(id) {
    const place = this.#entries.findIndex(({ message }) => message.id === id);
    if (place < 0) return null;
    const [entry] = this.#entries.splice(place, 1);
    this.#save(this.messages);
    return entry?.message ?? null;
  }
}
