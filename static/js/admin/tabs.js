// Tabs with one stop of the tab key, as the ARIA pattern of tabs asks for; `chosenOf` and `neighbour` are pure.

import { element } from "../element.js";

/** The chosen name if it still exists, else the first one; null without names. */
export function chosenOf(names, chosen) {
  return names.includes(chosen) ? chosen : (names[0] ?? null);
}

/** The name that a key leads to from `chosen`; null for keys that do not move. */
export function neighbour(names, chosen, key) {
  const at = names.indexOf(chosen);
  const step = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[key];
  return step === undefined || names.length === 0 ? null : names[step % names.length];
}

export class Tabs {
  #list;
  #panel;
  #names = [];
  #chosen = null;
  #onChoice;

  /** `onChoice(name)` is called when a user chooses another tab. */
  constructor(list, panel, onChoice) {
    this.#list = list;
    this.#panel = panel;
    this.#onChoice = onChoice;
    list.addEventListener("keydown", (event) => {
      const next = neighbour(this.#names, this.#chosen, event.key);
      if (next === null) return;
      event.preventDefault();
      this.choose(next);
      this.#list.querySelector("[aria-selected=true]").focus();
    });
  }

  get chosen() {
    return this.#chosen;
  }

  /** Shows these names; a name that is gone gives way to the first one. */
  show(names) {
    const chosen = chosenOf(names, this.#chosen);
    if (names.join("\n") === this.#names.join("\n") && chosen === this.#chosen) return;
    const focused = this.#list.contains(document.activeElement);
    this.#names = names;
    this.#chosen = chosen;
    this.#list.replaceChildren(
      ...names.map((name) =>
        element(
          "button",
          {
            type: "button",
            role: "tab",
            id: `tab-${name}`,
            "aria-selected": String(name === chosen),
            "aria-controls": this.#panel.id,
            tabindex: name === chosen ? 0 : -1,
            onclick: () => this.choose(name),
          },
          name,
        ),
      ),
    );
    if (chosen !== null) this.#panel.setAttribute("aria-labelledby", `tab-${chosen}`);
    if (focused) this.#list.querySelector("[aria-selected=true]")?.focus();
  }

  choose(name) {
    if (name === this.#chosen) return;
    for (const tab of this.#list.children) {
      const isChosen = tab.textContent === name;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    }
    this.#chosen = name;
    this.#panel.setAttribute("aria-labelledby", `tab-${name}`);
    this.#onChoice(name);
  }
}
