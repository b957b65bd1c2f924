// The server's time, estimated from its messages.

/** Adds the offset of the last message to the local clock. */
export class Clock {
  #offset = 0;

  /** @param {number} serverTime milliseconds since 1970, by the server's clock */
  learn(serverTime) {
    this.#offset = serverTime - Date.now();
  }

  /** Milliseconds since 1970. */
  now() {
    return Date.now() + this.#offset;
  }
}
