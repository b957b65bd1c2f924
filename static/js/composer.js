// The editor for posts, with the user's own posts until they appear in the stream.

import { element, setText } from "./element.js";

const OWN_MAX = 2;
// Removes the user's copy of a post after the stream contains the post.
const FOUND_MS = 8000;

export class Composer {
  #parts;
  #own = new Map(); // event id to its element
  #onOpen;

  /** `onPost({text, topic, minutes})` returns the event id, or null; `onOpen(item)` shows a post in the stream. */
  constructor(parts, { onPost, onOpen }) {
    this.#parts = parts;
    this.#onOpen = onOpen;
    const { form, text, topic, live, minutes, send } = parts;
    const ready = () => (send.disabled = text.value.trim() === "");
    const grow = () => {
      text.style.height = "auto";
      text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
    };
    text.addEventListener("input", () => (ready(), grow()));
    text.addEventListener("keydown", (event) => {
      // While an input method composes a word (in Japanese, say), Enter belongs to the word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    live.addEventListener("change", () => (minutes.disabled = !live.checked));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const post = {
        text: text.value.trim(),
        topic: topic.value.trim(),
        minutes: live.checked ? Number(minutes.value) : 0,
      };
      if (!post.text || !form.reportValidity()) return;
      const id = onPost(post);
      if (!id) return;
      this.#show(id, post.text);
      text.value = "";
      live.checked = false;
      minutes.disabled = true;
      ready();
      grow();
    });
    ready();
  }

  clear() {
    this.#own.clear();
    this.#parts.own.replaceChildren();
  }

  focus() {
    this.#parts.text.focus();
  }

  /** Marks a post as stored under this item key. */
  accepted(id, item) {
    const own = this.#own.get(id);
    if (!own) return;
    own.item = item;
    own.node.dataset.state = "accepted";
    setText(own.state, "posted");
  }

  refused(id, words) {
    const own = this.#own.get(id);
    if (!own) return;
    own.node.dataset.state = "refused";
    setText(own.state, `not posted: ${words}`);
  }

  /** Updates the positions of the user's own posts in the stream. */
  place(items) {
    for (const [id, own] of this.#own) {
      const place = own.item ? items.findIndex(({ item }) => item === own.item) : -1;
      own.open.hidden = place < 0;
      if (place < 0) continue;
      setText(own.open, `at place ${place + 1} \u2192`);
      own.going ??= setTimeout(() => this.#drop(id), FOUND_MS);
    }
  }

  #show(id, text) {
    const state = element("span", {}, "sending\u2026");
    const open = element("button", { type: "button", class: "link", hidden: true, onclick: () => this.#onOpen(this.#own.get(id)?.item) });
    const dismiss = element("button", { type: "button", class: "link", "aria-label": "Dismiss", onclick: () => this.#drop(id) }, "\u00d7");
    const node = element(
      "li",
      { class: "own", "data-state": "pending" },
      element("p", { class: "own-text" }, text),
      element("p", { class: "own-state" }, state, open, dismiss),
    );
    this.#own.set(id, { node, state, open, item: null });
    this.#parts.own.append(node);
    while (this.#own.size > OWN_MAX) this.#drop(this.#own.keys().next().value);
  }

  #drop(id) {
    this.#own.get(id)?.node.remove();
    this.#own.delete(id);
  }
}
