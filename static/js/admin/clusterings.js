// The board of clusterings: a tab each, its state, its last fit, and the ways to change it.

import { element, setText } from "../element.js";
import { ask, send } from "./ask.js";
import { ClusteringForm, History, pathOf } from "./clustering_form.js";
import { busyReason, counterState, factsOf, progressState } from "./clustering_words.js";
import { Clusters } from "./clusters.js";
import { Tabs } from "./tabs.js";

export class Clusterings {
  #parts;
  #tabs;
  #clusters;
  #form;
  #history;
  #again = () => {};
  #one = null;
  /** A clustering created just now: its tab is chosen once the list has it. */
  #wanted = null;

  constructor(parts, drawings) {
    this.#parts = parts;
    this.#tabs = new Tabs(parts.tabs, parts.panel, () => {
      this.#leave();
      this.#again();
    });
    this.#clusters = new Clusters(drawings, (clustering, cluster, name) => this.#rename(clustering, cluster, name));
    const stored = (name) => {
      this.#wanted = name;
      this.#again();
    };
    this.#form = new ClusteringForm(parts.dialog, stored);
    this.#history = new History({ details: parts.history, revisions: parts.revisions, fits: parts.fits }, stored);
    parts.refit.addEventListener("click", () => this.#refit());
    parts.change.addEventListener("click", () => this.#one && this.#open(this.#one));
    parts.create.addEventListener("click", () => this.#open(null));
    parts.history.addEventListener("toggle", () => this.#one && this.#history.show(this.#one));
  }

  /** `again()` sends the request again at once. */
  whenChanged(again) {
    this.#again = again;
  }

  /** All clusterings, and the chosen one with its fit; `one` is null when it was deleted meanwhile. */
  async ask() {
    const { clusterings } = await ask("/v1/clusterings");
    const names = clusterings.map(({ name }) => name);
    const wanted = [this.#wanted, this.#tabs.chosen].find((name) => names.includes(name)) ?? names[0];
    try {
      return { names, one: await ask(pathOf(wanted)) };
    } catch (error) {
      if (error.kind !== "absent") throw error;
      return { names: names.filter((name) => name !== wanted), one: null };
    }
  }

  show({ names, one }) {
    this.#tabs.show(names);
    if (this.#wanted !== null && names.includes(this.#wanted)) {
      const wanted = this.#wanted;
      this.#wanted = null;
      this.#tabs.choose(wanted);
    }
    if (!one || one.name !== this.#tabs.chosen) {
      if (this.#one?.name !== this.#tabs.chosen) this.#leave();
      return;
    }
    this.#one = one;
    this.#parts.panel.setAttribute("aria-busy", "false");
    hold(this.#parts.change, false);
    const { counter, progress, facts, refused, refit, reason } = this.#parts;
    bar(counter, counterState(one));
    bar(progress, progressState(one.under_way));
    setText(facts, factsOf(one, Date.now()).join(" "));
    refused.hidden = one.refused === null;
    setText(refused, one.refused === null ? "" : `No fit now: ${one.refused}`);
    const busy = busyReason(one);
    hold(refit, busy !== null);
    setText(reason, busy ?? "");
    this.#clusters.show(one.name, one.fit);
    this.#history.show(one);
  }

  /** Nothing of the last clustering can be changed under the name of another one, whose answer is still to come. */
  #leave() {
    const { panel, refit, change, reason } = this.#parts;
    this.#one = null;
    panel.setAttribute("aria-busy", "true");
    for (const button of [refit, change]) hold(button, true);
    setText(reason, "");
    this.#history.clear();
  }

  async #open(one) {
    try {
      await this.#form.open(one);
    } catch (error) {
      if (!error.kind) throw error;
      setText(this.#parts.reason, error.message);
    }
  }

  async #refit() {
    const { refit, reason } = this.#parts;
    if (!this.#one || refit.getAttribute("aria-disabled") === "true") return;
    const { name } = this.#one;
    hold(refit, true);
    try {
      await send("POST", `${pathOf(name)}/refit`);
      this.#again();
    } catch (error) {
      if (!error.kind) throw error;
      hold(refit, false);
      setText(reason, error.message);
    }
  }

  async #rename(clustering, cluster, name) {
    const path = `${pathOf(clustering)}/names/${cluster}`;
    await (name ? send("PUT", path, { name }) : send("DELETE", path));
    this.#again();
  }
}

/** Disables a button that keeps its focus, so that a screen reader reads the reason. */
function hold(button, isHeld) {
  button.setAttribute("aria-disabled", String(isHeld));
}

/** Fills a labelled progress element; without a state it hides, without a maximum only its bar does. */
function bar(place, state) {
  place.hidden = !state;
  if (!state) return;
  const [words, progress] = place.children.length ? place.children : [element("span", { id: `${place.id}-words` }), element("progress", { "aria-labelledby": `${place.id}-words` })];
  if (!place.children.length) place.append(words, progress);
  setText(words, state.words);
  progress.hidden = state.max === null;
  if (state.max !== null) Object.assign(progress, { max: state.max, value: state.value });
}
