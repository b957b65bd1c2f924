// The declared metrics as a table, and a form that declares, changes and deletes one.

import { element } from "../element.js";
import { ask, send } from "./ask.js";
import { FormDialog, refuseFaults } from "./form_dialog.js";
import { METRIC_FORM, cellsOf, formOfMetric, metricOf } from "./metric_specs.js";

const pathOf = (name) => `/v1/metrics/${encodeURIComponent(name)}`;

export class Declarations {
  #table;
  #form;
  #said = "";
  #again = () => {};

  constructor({ table, create, dialog }) {
    this.#table = table;
    this.#form = new FormDialog(dialog, METRIC_FORM);
    create.addEventListener("click", () => this.#open(null));
  }

  /** `again()` sends the request for the metrics again at once. */
  whenChanged(again) {
    this.#again = again;
  }

  show({ declarations }) {
    const said = JSON.stringify(declarations);
    if (said === this.#said) return;
    this.#said = said;
    const focused = this.#table.contains(document.activeElement) ? document.activeElement.dataset.metric : undefined;
    this.#table.replaceChildren(
      element("caption", { class: "hidden" }, "Declared metrics"),
      element("thead", {}, element("tr", {}, ...["metric", "kind", "unit", "range", "types", "attribute"].map((name) => element("th", { scope: "col" }, name)))),
      element(
        "tbody",
        {},
        ...declarations.map((one) =>
          element(
            "tr",
            {},
            element(
              "th",
              { scope: "row" },
              element("button", { type: "button", class: "link", "data-metric": one.name, "aria-haspopup": "dialog", "aria-label": `Change ${one.name}`, onclick: () => this.#open(one) }, one.name),
            ),
            ...cellsOf(one).map((cell) => element("td", {}, cell)),
          ),
        ),
      ),
    );
    if (focused !== undefined) this.#table.querySelector(`[data-metric="${CSS.escape(focused)}"]`)?.focus();
  }

  #open(one) {
    this.#form.fields.toggle("name", !one);
    this.#form.open({
      title: one ? `The metric ${one.name}` : "A new metric",
      values: formOfMetric(one),
      save: (form) => this.#save(one, form),
      removal: one && {
        label: "Delete",
        question: `Delete the declaration of ${one.name}? One of the configuration takes its first declaration again.`,
        run: async () => {
          await send("DELETE", pathOf(one.name));
          this.#again();
        },
      },
    });
  }

  async #save(one, form) {
    const name = one?.name ?? form.name.trim();
    const { object, faults } = metricOf(form);
    await refuseFaults(faults, name, one ? null : async () => (await ask("/v1/metrics")).declarations, "metric");
    await send("PUT", pathOf(name), object);
    this.#again();
  }
}
