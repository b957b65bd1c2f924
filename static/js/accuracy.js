// How well the server predicts what the person accepts: the running AUC, always scored before it is learned.

import { setText } from "./element.js";
import { spark } from "./spark.js";
import { recall, remember } from "./storage.js";

const HISTORY_MAX = 240;

export class Accuracy {
  #parts;
  #history = [];
  #name = "";
  #line;

  constructor(parts) {
    this.#parts = parts;
    this.#line = spark("The running AUC since this tab was opened; the dashed line is chance", { level: 0.5 });
    parts.line.append(this.#line.svg);
  }

  /** Another person. */
  open(person) {
    this.#name = `accuracy.${person}`;
    this.#history = recall(this.#name) ?? [];
    this.#draw(null);
  }

  /** Takes a `model` message. */
  show(model) {
    if (model.auc !== undefined && this.#history.at(-1)?.[0] !== model.events) {
      this.#history = [...this.#history, [model.events, model.auc]].slice(-HISTORY_MAX);
      remember(this.#name, this.#history);
    }
    this.#draw(model);
  }

  #draw(model) {
    const { value, note, labelled, events, loss } = this.#parts;
    const auc = model?.auc ?? this.#history.at(-1)?.[1];
    setText(value, auc === undefined ? "\u2013" : auc.toFixed(3));
    setText(note, [auc === undefined ? "needs one yes and one no" : words(auc), changes(model?.drifts ?? 0)].filter(Boolean).join("; "));
    if (model) {
      setText(events, model.events.toLocaleString("en"));
      setText(labelled, model.labelled.toLocaleString("en"));
      setText(loss, model.log_loss === undefined ? "\u2013" : model.log_loss.toFixed(3));
    } else {
      for (const node of [events, labelled, loss]) setText(node, "\u2013");
    }
    const last = Math.max(1, this.#history.length - 1);
    this.#line.draw(this.#history.map(([, value], index) => [index / last, value]), -1);
  }
}

/** How often the person's taste changed so far that the model was made to forget faster. */
export function changes(drifts) {
  if (drifts === 0) return "";
  return `your taste changed ${{ 1: "once", 2: "twice" }[drifts] ?? `${drifts} times`}, so it forgets faster`;
}

function words(auc) {
  if (auc >= 0.9) return "tells your yes from your no nearly always";
  if (auc >= 0.75) return "mostly tells your yes from your no";
  if (auc >= 0.6) return "begins to tell your yes from your no";
  return "no better than chance yet";
}

