// The lists of items that the user likes, and of those that they hid or rejected.
//
// Invariant: the lists are the server's, so they are equal in all tabs. Each entry can be undone.

import { element } from "./element.js";
import { icon } from "./icons.js";
import { server } from "./server.js";

const SHOWN_MAX = 50;

export class Chosen {
  #parts;
  #options;
  #texts = new Map();

  /** `onUndo(item)` takes a reaction back; `textOf(item)` is a short text, empty for an unknown item. */
  constructor(parts, options) {
    this.#parts = parts;
    this.#options = options;
  }

  clear() {
    this.#texts.clear();
    this.show({ liked: [], hidden: [] });
    delete this.#parts.liked.dataset.read;
  }

  /** Shows the newest entries of both lists. */
  show({ liked, hidden }) {
    const { liked: likes, hidden: hides, empty } = this.#parts;
    likes.replaceChildren(...liked.slice(0, SHOWN_MAX).map((entry) => this.#row(entry)));
    hides.replaceChildren(...hidden.slice(0, SHOWN_MAX).map((entry) => this.#row(entry)));
    empty.hidden = liked.length + hidden.length > 0;
    likes.dataset.read = "true";
  }

  #row({ item, kind }) {
    const words = element("span", { class: "chosen-text" }, item);
    this.#name(item, words);
    const undo = element(
      "button",
      { type: "button", class: "link", "aria-label": `Undo: ${kind} of ${item}`, onclick: () => this.#options.onUndo(item) },
      "Undo",
    );
    return element("li", { "data-item": item, "data-kind": kind }, icon(kind), words, undo);
  }

  async #name(item, words) {
    const known = this.#options.textOf(item) || this.#texts.get(item);
    if (known) {
      words.textContent = known;
      return;
    }
    try {
      const { text } = await server().item(item);
      this.#texts.set(item, text);
      words.textContent = text;
    } catch {
      // The key stays: the item was deleted.
    }
  }
}
