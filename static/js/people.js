// The dialog to choose a user, or to create one.

import { initials } from "./card.js";
import { element, hueOf } from "./element.js";
import { server, useToken, userOf } from "./server.js";
import { newId } from "../../clients/javascript/src/index.js";

const TYPING_MS = 140;
const LIST_MAX = 50;
const TOKEN_ERRORS = new Set(["unauthorized", "forbidden"]);

export class People {
  #parts;
  #onPick;
  #names = new Map();
  #asked = null;
  #current = null;

  /** `onPick({id, name})` runs when the user chooses one. */
  constructor(parts, onPick) {
    this.#parts = parts;
    this.#onPick = onPick;
    const { dialog, search, list, form, close, token } = parts;
    let typing = 0;
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#search(), TYPING_MS);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.#step(event, null, 1);
      else if (event.key === "Enter") (event.preventDefault(), list.querySelector("button")?.click());
    });
    list.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by) this.#step(event, event.target.closest("li"), by);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
    close.addEventListener("click", () => dialog.close());
    token?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#useToken(token.querySelector("input"));
    });
    // Without a user the page behind the dialog is empty.
    dialog.addEventListener("cancel", (event) => {
      if (!this.#current) event.preventDefault();
    });
  }

  /** The name of a user if known, else the id. */
  nameOf = (id) => this.#names.get(id) ?? id;

  /** Loads some names before the first stream; without them ids appear. */
  async meet() {
    try {
      this.#remember(await server().users({ limit: LIST_MAX }));
    } catch {
      // The dialog dispatches an event when it opens.
    }
  }

  /** `trouble` is shown instead of a list; `code` is its error code, if the server refused. */
  open(current, trouble = "", code = null) {
    this.#current = current;
    this.#wantToken(code);
    const { dialog, search, close } = this.#parts;
    close.hidden = !current;
    search.value = "";
    this.#say(trouble);
    if (!dialog.open) dialog.showModal();
    search.focus();
    this.#search(trouble !== "");
  }

  #remember(users) {
    for (const { user: id, name } of users) this.#names.set(id, name || id);
  }

  async #search(keepWords = false) {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    try {
      const users = await server().users({ limit: LIST_MAX, prefix: this.#parts.search.value.trim(), signal: asked.signal });
      this.#remember(users);
      this.#parts.list.replaceChildren(...users.map((user) => this.#row(user)));
      if (!keepWords) this.#say(users.length ? "" : "Nobody of that name yet. You can make them below.");
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#wantToken(error.code);
      if (!keepWords) this.#say(`The list of people could not be read: ${error.message}`);
    }
  }

  /** Shows the field for a token after a refusal that another token can mend. */
  #wantToken(code) {
    const { token } = this.#parts;
    if (!token || !TOKEN_ERRORS.has(code)) return;
    token.hidden = false;
    token.querySelector("input").focus();
  }

  #useToken(input) {
    const given = input.value.trim();
    if (!given) return;
    input.value = "";
    useToken(given);
    this.#parts.token.hidden = true;
    const user = userOf(given);
    if (user !== null) this.#pick({ id: user, name: this.nameOf(user) });
    else this.#search();
  }

  #row({ user: id, name }) {
    const shown = name || id;
    return element(
      "li",
      { "--hue": hueOf(id) },
      element(
        "button",
        { type: "button", "aria-current": id === this.#current?.id ? "true" : null, "data-person": id, onclick: () => this.#pick({ id, name: shown }) },
        element("span", { class: "avatar", "aria-hidden": "true" }, initials(shown)),
        element("span", { class: "person-name" }, shown),
        shown !== id && element("span", { class: "quiet" }, id),
      ),
    );
  }

  async #make() {
    const { name: input, form } = this.#parts;
    const name = input.value.trim();
    if (!name) return;
    const id = identifier(name);
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await server().putUser(id, { name });
      this.#names.set(id, name);
      input.value = "";
      this.#pick({ id, name });
    } catch (error) {
      this.#say(`${name} could not be made: ${error.message}`);
    } finally {
      button.disabled = false;
    }
  }

  #pick(person) {
    this.#parts.dialog.close();
    this.#onPick(person);
  }

  #step(event, row, by) {
    const rows = [...this.#parts.list.children];
    const to = row ? rows.indexOf(row) + by : 0;
    event.preventDefault();
    if (to < 0) this.#parts.search.focus();
    else rows[Math.min(to, rows.length - 1)]?.querySelector("button").focus();
  }

  #say(words) {
    this.#parts.words.textContent = words;
  }
}

/** An id from a name with random letters, so that a new user never overwrites another. */
function identifier(name) {
  const plain = name
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[^\p{Letter}\p{Number}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  return `${plain || "person"}-${newId().slice(0, 6)}`;
}
