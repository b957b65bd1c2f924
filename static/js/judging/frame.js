// The frame of the judging pages: the chosen person, and the form for a token.

import { initials } from "../card.js";
import { hueOf, setText } from "../element.js";
import { People } from "../people.js";
import { recall, remember } from "../storage.js";
import { useToken } from "./ask.js";

const get = (id) => document.getElementById(id);

/** A path of this server with the person as `?user=`; `person` may be null. */
export function pathOf(path, person) {
  return person ? `${path}?user=${encodeURIComponent(person)}` : path;
}

/** The person that the address names, or null. */
export function personOfAddress() {
  return new URLSearchParams(location.search).get("user") || null;
}

/** The person whom the tab showed last, or null. */
export const lastPerson = () => recall("person")?.id ?? null;

/** Shows the person, and lets the user pick another: `onPick(id)`. */
export class Frame {
  #people;
  #person = null;
  #onToken;

  constructor(onPick, onToken) {
    this.#onToken = onToken;
    this.#people = new People(
      {
        dialog: get("people"),
        search: get("people-search"),
        list: get("people-list"),
        words: get("people-words"),
        form: get("people-new"),
        name: get("people-name"),
        close: get("people-close"),
      },
      (person) => {
        remember("person", person);
        onPick(person.id);
      },
    );
    get("person").addEventListener("click", () => this.pick());
    get("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      useToken(get("token").value.trim());
      this.#onToken();
    });
  }

  /** Opens the dialog to pick a person. */
  pick() {
    this.#people.open(this.#person ? { id: this.#person } : null);
  }

  async show(person) {
    this.#person = person;
    this.#draw();
    // The names of people are readable for services only; without them the page shows ids.
    await this.#people.meet();
    this.#draw();
  }

  #draw() {
    const name = this.#person ? this.#people.nameOf(this.#person) : null;
    setText(get("person-name"), name ?? "Pick a person");
    setText(get("person-initials"), name ? initials(name) : "");
    if (this.#person) get("person").style.setProperty("--hue", hueOf(this.#person));
  }

  /** Asks for a token, or says that the last one was refused; `words` null hides the form. */
  wantToken(words) {
    const form = get("token-form");
    if (words === null) {
      form.hidden = true;
    } else if (form.hidden) {
      form.hidden = false;
      get("token").focus();
    } else {
      setText(get("token-words"), `It was refused: ${words}`);
    }
  }
}
