// Changes the settings of a clustering, creates and deletes one, and restores earlier settings.

import { element, setText } from "../element.js";
import { ask, send } from "./ask.js";
import { FORM, SETTINGS, allColumns, columnsOf, moreOf } from "./clustering_specs.js";
import { fitWords } from "./clustering_words.js";
import { FormDialog, refuseFaults } from "./form_dialog.js";
import { differences, objectOf, valuesOf } from "./values.js";
import { clock } from "./words.js";

const HISTORY = 30;
export const pathOf = (name) => `/v1/clusterings/${encodeURIComponent(name)}`;

export class ClusteringForm {
  #form;
  #whenStored;

  /** `whenStored(name)` is called once a change is durable; the name is null after a deletion. */
  constructor(dialog, whenStored) {
    this.#form = new FormDialog(dialog, FORM);
    this.#whenStored = whenStored;
  }

  /** Opens the settings of a clustering; `one` null is a new one, which starts with the server's defaults. */
  async open(one) {
    const { declarations } = await ask("/v1/metrics");
    const offered = columnsOf(declarations);
    const settings = one?.settings ?? DEFAULTS;
    const values = { ...valuesOf(SETTINGS, settings), name: one?.name ?? "", more: moreOf(settings.columns, offered) };
    this.#form.fields.toggle("name", !one);
    this.#form.open({
      title: one ? `Settings of ${one.name}` : "A new clustering",
      values,
      choices: { columns: offered },
      save: (read) => this.#save(one, read),
      removal: one && {
        label: "Delete",
        question: `Delete ${one.name} with its fits and names? One of the configuration takes its first settings again.`,
        run: async () => {
          await send("DELETE", pathOf(one.name));
          this.#whenStored(null);
        },
      },
    });
  }

  async #save(one, values) {
    const name = one?.name ?? values.name.trim();
    const { object, faults } = objectOf(SETTINGS, values, one?.settings);
    object.columns = allColumns(values.columns, values.more);
    await refuseFaults(faults, name, one ? null : async () => (await ask("/v1/clusterings")).clusterings, "clustering");
    await send("PUT", pathOf(name), object);
    this.#whenStored(name);
  }
}

/** Values of a new clustering; a number that is left empty takes the server's default. */
const DEFAULTS = Object.freeze({ columns: [], noise: true, scaling: "robust", kind: "gaussian" });

/** The last fits of a clustering, and its last revisions with a way back to each. */
export class History {
  #details;
  #list;
  #fits;
  #whenStored;
  #said = "";

  constructor({ details, revisions, fits }, whenStored) {
    this.#details = details;
    this.#list = revisions;
    this.#fits = fits;
    this.#whenStored = whenStored;
  }

  /** Empties the list until the next clustering is shown. */
  clear() {
    this.#said = "";
    this.#list.replaceChildren();
    this.#fits.replaceChildren();
  }

  /** Reads the history while the list is open, and after each new revision or fit. */
  async show({ name, revision, settings, epoch }) {
    const said = `${name}\n${revision}\n${epoch}`;
    if (!this.#details.open || said === this.#said) return;
    this.#said = said;
    try {
      const { revisions, fits } = await ask(`${pathOf(name)}/history?limit=${HISTORY}`);
      if (said !== this.#said) return;
      this.#list.replaceChildren(...this.#items(name, revision, settings, revisions));
      this.#fits.replaceChildren(...fitItems(fits));
    } catch (error) {
      if (!error.kind) throw error;
      if (said !== this.#said) return;
      this.clear();
      this.#list.replaceChildren(element("li", { class: "fault" }, error.message));
    }
  }

  #items(name, current, settings, revisions) {
    if (revisions.length === 0) return [element("li", { class: "quiet" }, "The settings are those of the configuration.")];
    return revisions.map((one) => {
      const isCurrent = one.revision === current;
      const changed = isCurrent ? [] : differences(SETTINGS, settings, one.settings);
      const words = isCurrent ? "in force" : changed.join("; ") || "equal to those in force";
      const fault = element("span", { class: "fault", role: "alert" });
      const restore = async () => {
        try {
          await send("PUT", pathOf(name), one.settings);
          this.#whenStored(name);
        } catch (error) {
          if (!error.kind) throw error;
          setText(fault, error.message);
        }
      };
      return element(
        "li",
        {},
        element("b", {}, `Revision ${one.revision}`),
        element("span", { class: "quiet" }, ` ${one.changed_at ? clock(one.changed_at, Date.now()) : ""} \u00b7 ${words} `),
        !isCurrent && changed.length > 0 && element("button", { type: "button", "aria-label": `Restore revision ${one.revision}`, onclick: restore }, "Restore this"),
        fault,
      );
    });
  }
}

function fitItems(fits) {
  if (fits.length === 0) return [element("li", { class: "quiet" }, "No fit yet.")];
  const now = Date.now();
  return fits.map((fit) => element("li", {}, element("b", {}, `Fit ${fit.epoch}`), element("span", { class: "quiet" }, ` ${fitWords(fit, now)}`)));
}
