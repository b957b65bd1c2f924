// Assembles the page /prediction/{n}: one post, the prediction for a person, and the person's answer.
//
// Invariant: the page learns nothing without a submit, and each submit carries an id, so a repeated one is learned once.

import { element, setText } from "../element.js";
import { ask } from "./ask.js";
import { area, change, evidence, percent } from "./figures.js";
import { Frame, lastPerson, pathOf, personOfAddress } from "./frame.js";
import { newId } from "../../../clients/javascript/src/index.js";

const get = (id) => document.getElementById(id);
const path = location.pathname;
const person = personOfAddress() ?? lastPerson();
const frame = new Frame((id) => location.assign(pathOf(path, id)), load);
let id = newId();

async function load() {
  say(null);
  try {
    show(await ask(pathOf(path, person)));
    frame.wantToken(null);
  } catch (error) {
    fail(error);
  }
}

function show({ number, count, item, now, previous, next }) {
  setText(get("post-title"), `Post ${number.toLocaleString("en")} of ${count.toLocaleString("en")}`);
  const facts = [item.topics.join(", "), item.author && `by ${item.author}`, item.available ? null : "not available now"];
  setText(get("post-topics"), facts.filter(Boolean).join(" \u00b7 "));
  setText(get("post-text"), item.text || "(no text)");
  document.title = `Post ${number} \u00b7 Eddyline`;
  for (const [name, to] of Object.entries({ previous, next })) {
    get(name).hidden = to === null;
    if (to !== null) get(name).href = pathOf(`/prediction/${to}`, person);
  }
  get("answers").disabled = false;
  expect(now);
}

/** Draws both probabilities, and the figures of the person. */
function expect({ accepted, rejected, auc, positives, negatives }) {
  setText(get("likely-words"), `ROC AUC ${area(auc)} of the last answers: ${evidence({ positives, negatives })}.`);
  const row = (name, share) =>
    element(
      "div",
      { class: share >= 0.5 ? "bar-row ours" : "bar-row" },
      element("span", { class: "bar-name" }, name),
      element("span", { class: "bar-track", "aria-hidden": "true" }, element("span", { class: "bar-fill", "--share": share })),
      element("span", { class: "number", "data-share": share }, percent(share)),
    );
  get("likely").replaceChildren(row("accepted", accepted), row("rejected", rejected));
}

/** Writes the table of the figures before and after an answer. */
function compare(before, after) {
  const line = (name, of, write, per, digits) => {
    const by = change(of(before), of(after), per, digits);
    const way = by.startsWith("+") ? "up" : by.startsWith("\u2212") ? "down" : null;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", {}, write(of(before))),
      element("td", {}, write(of(after))),
      element("td", { class: way }, by),
    );
  };
  const heads = ["", "before", "after", "change"].map((name) => element("th", { scope: "col" }, name));
  get("change").replaceChildren(
    element("thead", {}, element("tr", {}, ...heads)),
    element(
      "tbody",
      {},
      line("accepted", ({ accepted }) => accepted, percent, 100, 1),
      line("rejected", ({ rejected }) => rejected, percent, 100, 1),
      line("ROC AUC", ({ auc }) => auc ?? NaN, area, 1, 3),
      line("answers", ({ labelled }) => labelled, (count) => count.toLocaleString("en"), 1, 0),
    ),
  );
}

async function submit() {
  const label = new FormData(get("label-form")).get("label");
  if (!label) return;
  get("answers").disabled = true;
  say(null);
  try {
    const { before, after } = await ask(pathOf(path, person), { label, id });
    id = newId();
    expect(after);
    compare(before, after);
    frame.wantToken(null);
    if (!get("next").hidden) get("next").focus();
  } catch (error) {
    fail(error);
  } finally {
    get("answers").disabled = false;
  }
}

function fail(error) {
  if (!error.kind) throw error;
  if (error.kind === "token") frame.wantToken(error.message);
  else say(error.message);
  if (get("likely").childElementCount === 0) setText(get("likely-words"), error.kind === "token" ? "needs a token" : "no prediction");
}

function say(words) {
  get("trouble").hidden = words === null;
  setText(get("trouble"), words ?? "");
}

function press(event) {
  const isTyping = event.target.closest("input:not([type=radio]), textarea, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  // Within the radio buttons the arrows move between these, as in every form.
  const isRadio = event.target.type === "radio";
  const label = { a: "accepted", r: "rejected" }[event.key];
  const to = isRadio ? null : { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  if (label && !get("answers").disabled) {
    const radio = document.querySelector(`input[name=label][value=${label}]`);
    radio.checked = true;
    radio.focus();
  } else if (to && !get(to).hidden) {
    location.assign(get(to).href);
  }
}

get("label-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", press);
get("to-score").href = pathOf("/score", person);
frame.show(person);
if (person) {
  if (!personOfAddress()) history.replaceState(null, "", pathOf(path, person) + location.hash);
  load();
} else {
  setText(get("likely-words"), "Pick the person who judges.");
  frame.pick();
}
