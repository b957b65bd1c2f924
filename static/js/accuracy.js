// The running AUC of the server's predictions beside the ranking on screen. It uses the probability of a yes, or the
// score by topics, always before the answer is learned.
//
// Invariant: the figure appears only with enough answers of both kinds, and only for the ranking on screen.

import { setText } from "./element.js";
import { spark } from "./spark.js";
import { recall, remember } from "./storage.js";

/** The answers of each kind that a figure needs. */
export const ANSWERS_MIN = 10;
const HISTORY_MAX = 240;

export class Accuracy {
  #parts;
  #history = [];
  #person = "";
  #ranking = "model";
  #model = null;
  #line;

  constructor(parts) {
    this.#parts = parts;
    this.#line = spark("The running AUC since this tab was opened; the dashed line is chance", { level: 0.5 });
    parts.line.append(this.#line.svg);
  }

  /** Resets the figure for another user or ranking. */
  open(person, ranking) {
    if (person !== this.#person) this.#model = null;
    [this.#person, this.#ranking] = [person, ranking];
    this.#history = recall(this.#name) ?? [];
    if (this.#model) this.show(this.#model);
    else this.#draw();
  }

  /** Updates the figure from a `model` message. */
  show(model) {
    this.#model = model;
    const { auc } = figuresOf(model, this.#ranking);
    if (auc !== null && this.#history.at(-1)?.[0] !== model.events) {
      this.#history = [...this.#history, [model.events, auc]].slice(-HISTORY_MAX);
      remember(this.#name, this.#history);
    }
    this.#draw();
  }

  get #name() {
    return `auc.${this.#ranking}.${this.#person}`;
  }

  #draw() {
    const { value, note, labelled, events, loss } = this.#parts;
    const model = this.#model;
    const { auc, logLoss } = figuresOf(model, this.#ranking);
    setText(value, auc === null ? "\u2013" : auc.toFixed(3));
    setText(note, [words(model, this.#ranking), changes(model?.drifts ?? 0)].filter(Boolean).join("; "));
    setText(events, model ? model.events.toLocaleString("en") : "\u2013");
    setText(labelled, model ? model.labelled.toLocaleString("en") : "\u2013");
    setText(loss, logLoss === null ? "\u2013" : logLoss.toFixed(3));
    const shown = auc === null ? [] : this.#history;
    const last = Math.max(1, shown.length - 1);
    this.#line.draw(shown.map(([, value], index) => [index / last, value]), -1);
  }
}

/** `{auc, logLoss}` of the predictions beside this ranking; null without predictions, or with too few answers. */
export function figuresOf(model, ranking) {
  const known = Math.min(model?.positives ?? 0, model?.negatives ?? 0) >= ANSWERS_MIN;
  const figure = (value) => (known && Number.isFinite(value) ? value : null);
  if (ranking === "model") return { auc: figure(model?.auc_model), logLoss: figure(model?.log_loss_model) };
  if (ranking === "topics") return { auc: figure(model?.auc_topics), logLoss: null };
  return { auc: null, logLoss: null };
}

/** The number of drift alarms, after each of which the user's model forgot faster. */
export function changes(drifts) {
  if (drifts === 0) return "";
  return `your taste changed ${{ 1: "once", 2: "twice" }[drifts] ?? `${drifts} times`}, so it forgets faster`;
}

/** The figure as text, or the reason for its absence. */
export function words(model, ranking) {
  if (ranking === "flat") return "newest first foretells nothing";
  const { auc } = figuresOf(model, ranking);
  if (auc === null) {
    const { positives = 0, negatives = 0 } = model ?? {};
    return `needs ten times yes and ten times no; so far ${positives} and ${negatives}`;
  }
  if (auc >= 0.9) return "tells your yes from your no nearly always";
  if (auc >= 0.75) return "mostly tells your yes from your no";
  if (auc >= 0.6) return "begins to tell your yes from your no";
  return "no better than chance yet";
}
