// The status of the page: connection, last re-rank and errors, with announcements for screen readers.

import { element, setText } from "./element.js";

const ANNOUNCE_EVERY_MS = 1200;
// The page keeps the user's own cause on display for so long, even if a refresh follows: mostly that refresh stems from
// this act.
const ACT_STAYS_MS = 3000;
const OFFER_STAYS_MS = 8000;
const WORDS = {
  closed: "not connected",
  connecting: "connecting\u2026",
  online: "connected",
  waiting: "reconnecting",
  offline: "offline",
  refused: "refused",
};
const DID = {
  like: "your like",
  share: "your share",
  skip: "your skip",
  hide: "hiding",
  accept: "\u201cmore like this\u201d",
  reject: "\u201cnot like this\u201d",
  unlike: "taking back your like",
  unhide: "taking back your \u201cnot like this\u201d",
};

export class Status {
  #parts;
  #retryAt = 0;
  #state = "closed";
  #announced = 0;
  #announcing = 0;
  #actSaid = -Infinity;
  #undo = null;
  #toastTimer = 0;

  /** `onAgain()` runs when the user asks to connect now. */
  constructor(parts, onAgain) {
    this.#parts = parts;
    parts.line.addEventListener("click", onAgain);
  }

  line(state, detail, waiting) {
    this.#state = state;
    this.#retryAt = detail?.retryIn ? performance.now() + detail.retryIn : 0;
    this.#parts.line.dataset.state = state;
    this.#parts.line.disabled = state === "online" || state === "connecting";
    this.tick(waiting);
  }

  tick(waiting) {
    const { lineWords } = this.#parts;
    const seconds = Math.ceil((this.#retryAt - performance.now()) / 1000);
    const again = this.#retryAt && seconds > 0 ? ` in ${seconds} s` : "";
    const kept = this.#state !== "online" && waiting ? ` \u00b7 ${waiting} to send` : "";
    setText(lineWords, `${WORDS[this.#state]}${again}${kept}`);
  }

  /** Shows the cause of the last stream, and its timing. */
  cause({ cause, timing, act, arrived }, painted, shifts, textOf) {
    if (cause?.kind === "refreshed" && painted - this.#actSaid < ACT_STAYS_MS) return;
    if (act) this.#actSaid = painted;
    const { cause: words, took } = this.#parts;
    setText(words, `${this.#causeWords(cause, act, textOf)}${moved(shifts)}`);
    const figures = [];
    if (act) {
      figures.push(element("span", {}, element("b", { class: "number" }, `${Math.round(painted - act.at)} ms`), " to screen"));
      figures.push(element("span", {}, element("b", { class: "number" }, `${Math.round(arrived - act.at)} ms`), " round trip"));
    }
    if (timing) {
      const { queue_us: queue, learn_us: learn, rank_us: rank, encode_us: encode } = timing;
      const title = `queue ${queue}, learn ${learn}, rank ${rank}, encode ${encode} microseconds`;
      const total = queue + learn + rank + encode;
      figures.push(element("span", { title }, element("b", { class: "number" }, `${total.toLocaleString("en")} \u00b5s`), " server"));
    }
    took.replaceChildren(...figures);
    if (act && shifts.size) this.announce(`Re-ranked: ${shifts.size} posts moved.`);
  }

  /** Shows what was done, with a button that undoes it; null takes the offer back. */
  offer(words, undo = null) {
    const { toast } = this.#parts;
    clearTimeout(this.#toastTimer);
    this.#undo = undo;
    toast.hidden = words === null;
    if (words === null) return;
    const button = element("button", { type: "button", onclick: () => this.undo() }, "Undo");
    toast.replaceChildren(element("span", {}, words), button);
    this.#toastTimer = setTimeout(() => this.offer(null), OFFER_STAYS_MS);
  }

  /** Undoes what the toast offers. */
  undo() {
    const undo = this.#undo;
    this.offer(null);
    undo?.();
  }

  clear() {
    this.offer(null);
    this.#actSaid = -Infinity;
    setText(this.#parts.cause, "");
    this.#parts.took.replaceChildren();
  }

  /** Shows a short message that disappears by itself. */
  trouble(words) {
    const { troubles } = this.#parts;
    if ([...troubles.children].some(({ textContent }) => textContent === words)) return;
    const node = element("li", {}, words);
    troubles.append(node);
    setTimeout(() => node.remove(), 6000);
    while (troubles.children.length > 3) troubles.firstChild.remove();
  }

  /** Announces text to screen readers, at most about once a second; the newest text wins. */
  announce(words) {
    clearTimeout(this.#announcing);
    const wait = Math.max(0, this.#announced + ANNOUNCE_EVERY_MS - performance.now());
    this.#announcing = setTimeout(() => {
      this.#announced = performance.now();
      setText(this.#parts.announcer, words);
    }, wait);
  }

  #causeWords(cause, act, textOf) {
    switch (cause?.kind) {
      case "event":
        if (act?.message.type === "interact") {
          const text = textOf(act.message.item);
          return `Re-ranked by ${DID[act.message.kind] ?? act.message.kind}${text ? ` of \u201c${text}\u201d` : ""}`;
        }
        if (act?.message.type === "undo") return "Re-ranked by what you took back";
        if (act?.message.type === "configure") return "Re-ranked by the weights you set";
        if (act?.message.type === "post") return "Re-ranked by your post";
        return "Re-ranked by what you did elsewhere";
      case "world":
        return "Something came or went";
      case "configured":
        return "Ranked as you asked";
      case "refreshed":
        return "Re-ranked by what others did, or by time";
      default:
        return "Your stream";
    }
  }
}

function moved(shifts) {
  if (shifts.size === 0) return "";
  return ` \u00b7 ${shifts.size} moved`;
}
