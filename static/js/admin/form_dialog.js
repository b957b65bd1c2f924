// A dialog with a form that stores or deletes one resource. Polling never touches it.

import { element, setText } from "../element.js";
import { NoAnswer } from "./ask.js";
import { Fields } from "./fields.js";

/**
 * Throws the faults of a form: its own, an empty name, and a name that `others()` has. `others` is null for a resource
 * that exists, whose name stays.
 */
export async function refuseFaults(faults, name, others, what) {
  const all = name === "" ? [{ field: "name", message: "must not be empty" }, ...faults] : faults;
  if (all.length) throw new NoAnswer("trouble", "Some values are invalid.", all);
  if (others && (await others()).some((other) => other.name === name)) {
    throw new NoAnswer("trouble", "", [{ field: "name", message: `is the name of another ${what}` }]);
  }
}

export class FormDialog {
  fields;
  #dialog;
  #title;
  #words;
  #submit;
  #removal;
  #save = null;

  constructor(dialog, specs) {
    const prefix = dialog.id;
    this.#dialog = dialog;
    this.#title = element("h2", { id: `${prefix}-title` });
    this.#words = element("p", { class: "fault", role: "alert" });
    this.#submit = element("button", { type: "submit", class: "primary" }, "Save");
    this.#removal = element("span", { class: "removal" });
    const place = element("div", { class: "form-body" });
    this.fields = new Fields(place, specs, prefix);
    const cancel = element("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = element(
      "form",
      { method: "dialog", novalidate: true, onsubmit: (event) => this.#submitted(event) },
      element("div", { class: "dialog-head" }, this.#title),
      place,
      // The fault of the form stands beside the buttons, which are always in view.
      element("div", { class: "form-actions" }, this.#words, this.#removal, element("span", { class: "spacer" }), cancel, this.#submit),
    );
    dialog.setAttribute("aria-labelledby", this.#title.id);
    dialog.replaceChildren(form);
  }

  /**
   * Opens with values. `save(values)` and `removal.run()` resolve once the change is durable; `removal` is
   * `{label, question, run}`, or null where nothing can be deleted.
   */
  open({ title, values, choices, save, removal = null }) {
    setText(this.#title, title);
    setText(this.#words, "");
    this.#save = save;
    this.fields.fill(values, choices);
    this.#offer(removal);
    this.#submit.disabled = false;
    this.#dialog.showModal();
  }

  #offer(removal) {
    if (!removal) return this.#removal.replaceChildren();
    const { label, question, run } = removal;
    const ask = element("button", { type: "button", onclick: () => confirm() }, label);
    const confirm = () => {
      const keep = element("button", { type: "button", onclick: () => this.#offer(removal) }, "Keep");
      const yes = element("button", { type: "button", class: "danger", onclick: () => this.#attempt(run) }, label);
      this.#removal.replaceChildren(element("span", { role: "status" }, question), yes, keep);
      keep.focus();
    };
    this.#removal.replaceChildren(ask);
  }

  #submitted(event) {
    event.preventDefault();
    this.#attempt(() => this.#save(this.fields.read()));
  }

  /** Runs a change and closes; a refusal stays in the form. */
  async #attempt(change) {
    if (this.#submit.disabled) return;
    this.#submit.disabled = true;
    setText(this.#words, "");
    this.fields.showFaults([]);
    try {
      await change();
      this.#dialog.close();
    } catch (error) {
      if (!error.kind) throw error;
      const rest = this.fields.showFaults(error.faults);
      if (error.faults.length === 0 || rest.length) setText(this.#words, rest[0]?.field ? `${rest[0].field}: ${rest[0].message}` : error.message);
    } finally {
      this.#submit.disabled = false;
    }
  }
}
