// The name of a cluster as a button that opens an input. Enter stores, an empty name deletes, Escape cancels.

import { element } from "../element.js";

const BYTES_MAX = 64;

export class NameEdit {
  #rename;
  #whenClosed;
  isOpen = false;

  /** `rename(id, name)` resolves once the name is durable; `whenClosed()` draws the table again. */
  constructor(rename, whenClosed) {
    this.#rename = rename;
    this.#whenClosed = whenClosed;
  }

  /** The content of a table cell for a cluster; `name` null is none. */
  cell(id, name) {
    const place = element("span", { class: "group-name" });
    const button = element(
      "button",
      {
        type: "button",
        class: "link",
        "data-cluster": id,
        "aria-label": name ? `Cluster ${id}, ${name}: rename` : `Cluster ${id}: name it`,
        title: name ? `${name} (cluster ${id}): rename` : "name it",
        onclick: () => this.#open(place, id, name),
      },
      name ?? String(id),
    );
    place.append(button);
    return place;
  }

  #open(place, id, name) {
    if (this.isOpen) return;
    this.isOpen = true;
    const fault = element("span", { class: "fault", role: "alert", id: `name-fault-${id}` });
    const input = element("input", {
      value: name ?? "",
      maxlength: BYTES_MAX,
      autocomplete: "off",
      placeholder: `name of ${id}`,
      "aria-label": `Name of cluster ${id}; empty removes it`,
      "aria-describedby": fault.id,
    });
    const scope = place.closest("table");
    let sending = false;
    const close = (refocus) => {
      // The table of another clustering may stand there meanwhile, with an input of its own.
      if (!this.isOpen || !input.isConnected) return;
      this.isOpen = false;
      this.#whenClosed();
      if (refocus) scope.querySelector(`[data-cluster="${id}"]`)?.focus();
    };
    const store = async () => {
      const wanted = input.value.trim();
      if (sending) return;
      if (wanted === (name ?? "")) return close(true);
      sending = true;
      try {
        await this.#rename(id, wanted);
        close(true);
      } catch (error) {
        if (!error.kind) throw error;
        fault.textContent = error.message;
        input.setAttribute("aria-invalid", "true");
      } finally {
        sending = false;
      }
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") store();
      else if (event.key === "Escape") close(true);
      else return;
      event.preventDefault();
    });
    // A user who leaves the input unchanged has only looked; a changed one stays open until Enter or Escape.
    input.addEventListener("blur", () => !sending && input.value.trim() === (name ?? "") && close(false));
    place.replaceChildren(input, fault);
    input.focus();
    input.select();
  }
}
