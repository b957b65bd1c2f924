// Polls the server for several parts of the page.
//
// Invariant: each part has at most one request in progress, and a hidden or paused page polls none. A slow answer
// lengthens the next wait, so that the admin page does not load a busy server further.

const EVERY_MS = 2000;
const ABSENT_MS = 30_000;
const SLOW_FACTOR = 10;

export class Poller {
  #parts = [];
  #timer = 0;
  #onState;
  #lacksToken = false;
  paused = false;

  /** `onState(kind, words)` receives `ok`, `token` or `trouble`. */
  constructor(onState) {
    this.#onState = onState;
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
  }

  /**
   * `ask()` returns a promise, `show(answer)` draws, `absent(words)` reports a missing route; null clears the report. The
   * part is asked for once in `every` milliseconds.
   */
  add({ ask, show, absent, every = EVERY_MS }) {
    const part = { ask, show, absent, every, due: 0, busy: false, turn: 0 };
    this.#parts.push(part);
    // The request has changed: it is sent at once, on a paused page too, and the result of the previous one is dropped.
    return () => {
      part.turn += 1;
      part.busy = false;
      part.due = 0;
      if (this.paused && !this.#lacksToken) this.#turn(part);
      else this.#look();
    };
  }

  start() {
    this.#lacksToken = false;
    for (const part of this.#parts) part.due = 0;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), 250);
    this.#look();
  }

  #look() {
    if (document.hidden || this.paused || this.#lacksToken) return;
    const now = performance.now();
    for (const part of this.#parts) if (!part.busy && part.due <= now) this.#turn(part);
  }

  async #turn(part) {
    part.busy = true;
    const turn = part.turn;
    const began = performance.now();
    let wait = part.every;
    let [state, answer] = ["ok", null];
    try {
      answer = await part.ask();
    } catch (error) {
      // An error of the page itself is no error of the server.
      if (!error.kind) throw error;
      if (part.turn !== turn) return;
      if (error.kind === "absent") {
        wait = ABSENT_MS;
        part.absent(error.message);
      } else {
        state = error;
      }
    }
    if (part.turn !== turn) return;
    const now = performance.now();
    part.busy = false;
    part.due = Math.max(began + wait, now + SLOW_FACTOR * Math.min(now - began, EVERY_MS) - EVERY_MS);
    if (answer) {
      part.absent(null);
      part.show(answer);
    }
    // All parts fail together, so the page reports the error once.
    if (this.#lacksToken || this.paused) return;
    this.#lacksToken = state.kind === "token";
    this.#onState(state.kind ?? state, state.message);
  }
}
