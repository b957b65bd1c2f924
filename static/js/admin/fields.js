// Labelled controls of a form by their specs (values.js), with the faults of a server at their fields.

import { element } from "../element.js";
import { specOf } from "./values.js";

export class Fields {
  #specs;
  #parts = new Map();

  constructor(place, specs, prefix) {
    this.#specs = specs;
    const groups = new Map();
    for (const spec of specs) {
      const group = groups.get(spec.group) ?? element("fieldset", { class: "fields" }, element("legend", {}, spec.group));
      groups.set(spec.group, group);
      group.append(this.#field(spec, `${prefix}-${spec.name}`));
    }
    place.replaceChildren(...groups.values());
  }

  #field(spec, id) {
    const fault = element("span", { class: "fault", role: "alert", id: `${id}-fault` });
    const hint = spec.hint && element("span", { class: "quiet", id: `${id}-hint` }, spec.hint);
    const described = [hint && hint.id, fault.id].filter(Boolean).join(" ");
    if (spec.kind === "choices") {
      const control = element("div", { class: "choices", id, role: "group", "aria-label": spec.label, "aria-describedby": described, tabindex: -1 });
      this.#parts.set(spec.name, { control, fault });
      return element("div", { class: "field whole" }, control, hint, fault);
    }
    const common = { id, name: spec.name, "aria-describedby": described, autocomplete: "off" };
    let control;
    if (spec.kind === "select") control = element("select", common, ...spec.options.map(([value, words]) => element("option", { value }, words)));
    else if (spec.kind === "check") control = element("input", { ...common, type: "checkbox" });
    else control = element("input", { ...common, type: "text", inputmode: spec.kind === "number" && "decimal", spellcheck: "false", placeholder: spec.empty });
    this.#parts.set(spec.name, { control, fault });
    return element("div", { class: `field${spec.whole ? " whole" : ""}` }, element("label", { for: id }, spec.label), control, hint, fault);
  }

  /** Fills the controls; `choices` has the names to tick by spec. */
  fill(values, choices = {}) {
    this.showFaults([]);
    for (const { name, kind } of this.#specs) {
      const { control } = this.#parts.get(name);
      if (kind === "check") control.checked = values[name];
      else if (kind !== "choices") control.value = values[name];
      else {
        control.replaceChildren(
          ...(choices[name] ?? []).map((choice) =>
            element("label", { class: "check" }, element("input", { type: "checkbox", value: choice, checked: values[name].includes(choice) }), choice),
          ),
        );
      }
    }
  }

  read() {
    return Object.fromEntries(
      this.#specs.map(({ name, kind }) => {
        const { control } = this.#parts.get(name);
        if (kind === "check") return [name, control.checked];
        if (kind === "choices") return [name, [...control.querySelectorAll("input:checked")].map(({ value }) => value)];
        return [name, control.value];
      }),
    );
  }

  /** Shows or hides a field. */
  toggle(name, isShown) {
    const field = this.#parts.get(name).control.closest(".field");
    field.hidden = !isShown;
    // A heading without a field below it is hidden, too.
    const group = field.closest(".fields");
    group.hidden = [...group.querySelectorAll(".field")].every((one) => one.hidden);
  }

  /** Shows faults at their fields, focuses the first of these fields and scrolls it into view; returns those that no field takes. */
  showFaults(faults) {
    const rest = [];
    const shown = new Map();
    for (const fault of faults) {
      const spec = specOf(this.#specs, fault.field ?? "");
      if (spec && !shown.has(spec.name)) shown.set(spec.name, fault.message);
      else rest.push(fault);
    }
    for (const [name, { control, fault }] of this.#parts) {
      fault.textContent = shown.get(name) ?? "";
      control.toggleAttribute("data-faulty", shown.has(name));
      if (shown.has(name)) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
    const first = this.#specs.find(({ name }) => shown.has(name));
    if (first) {
      const { control } = this.#parts.get(first.name);
      control.focus({ preventScroll: true });
      // The fault below the control must not stand behind the buttons, which stick to the end of the dialog.
      control.closest(".field").scrollIntoView({ block: "center" });
    }
    return rest;
  }
}
