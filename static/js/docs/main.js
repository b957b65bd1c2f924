// The page of the interface: lists all routes of /openapi.json, each with a form to try it out.
//
// Invariant: the page sends a request only when its form is submitted. The token stays in this tab.

import { element, setText } from "../element.js";
import { token } from "../server.js";
import { remember } from "../storage.js";
import { addressOf, command, send } from "./request.js";
import { notation } from "./schema.js";

const at = (id) => document.getElementById(id);
const routes = at("routes");
const bearer = at("token");

bearer.value = token() ?? "";
bearer.addEventListener("input", () => remember("token", bearer.value));
at("tools").addEventListener("submit", (event) => event.preventDefault());
at("search").addEventListener("input", find);
// The key that many pages use for their search field.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  at("search").focus();
});

open().catch((error) => setText(at("words"), `The routes cannot be read: ${error.message}`));

async function open() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const api = await answer.json();
  setText(at("about"), `version ${api.info.version}`);
  for (const tag of api.tags) {
    const list = element("ul");
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) list.append(element("li", {}, route(api, path, method, operation)));
      }
    }
    const title = element("h2", { id: `group-${tag.name}` }, tag.name);
    const about = element("p", { class: "quiet" }, tag.description);
    routes.append(element("section", { class: "group", "aria-labelledby": title.id }, title, about, list));
  }
  find();
  const wanted = location.hash.slice(1) && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (wanted?.matches("details")) wanted.open = true;
  wanted?.scrollIntoView();
}

function route(api, path, method, operation) {
  const details = element(
    "details",
    { class: "route", id: operation.operationId },
    element(
      "summary",
      {},
      element("span", { class: "method", "data-method": method }, method.toUpperCase()),
      element("code", { class: "path" }, path),
      element("span", { class: "quiet" }, operation.summary),
    ),
  );
  details.dataset.words = `${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase();
  // Built when it is opened first, so that the page opens at once.
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(inside(api, path, method, operation)));
  return details;
}

function inside(api, path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => input(api, parameter));
  const [media, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const example = typeof content?.example === "string" ? content.example : JSON.stringify(content?.example ?? null, null, 2);
  const body = media && element("textarea", { rows: Math.min(12, example.split("\n").length + 1), spellcheck: "false", "aria-label": "Body" });
  if (body) body.value = content.example === undefined ? "" : example;
  const button = element("button", {}, "Send");
  const line = element("p", { role: "status" });
  const shown = element("pre", { tabindex: "0", "aria-label": "Answer", hidden: true });
  const curl = element("pre", { tabindex: "0", "aria-label": "Command", hidden: true });
  const form = element(
    "form",
    { class: "in" },
    element("p", {}, operation.description),
    inputs.length > 0 && element("div", { class: "fields" }, ...inputs.map(({ label }) => label)),
    body && element("label", {}, `body, ${media}${operation.requestBody.required ? "" : ", optional"}`, body),
    body && element("details", {}, element("summary", {}, "Schema of the body"), element("pre", { tabindex: "0" }, notation(content.schema, api))),
    element("p", {}, button),
    line,
    shown,
    curl,
    answers(api, operation),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = inputs.map(({ parameter, field }) => ({ name: parameter.name, place: parameter.in, value: field.value }));
    const address = addressOf(path, values);
    const headers = { accept: "application/json" };
    for (const { name, place, value } of values) if (place === "header" && value !== "") headers[name.toLowerCase()] = value;
    if (bearer.value) headers.authorization = `Bearer ${bearer.value.trim()}`;
    const text = body && body.value !== "" ? body.value : undefined;
    if (text !== undefined) headers["content-type"] = media;
    button.disabled = true;
    setText(line, `${method.toUpperCase()} ${address}`);
    setText(curl, command(method, address, headers, text, location.origin));
    curl.hidden = false;
    try {
      const answer = await send(method, address, headers, text);
      setText(line, answer.line);
      setText(shown, answer.text);
      shown.hidden = answer.text === "";
    } catch (error) {
      setText(line, `The request failed: ${error.message}`);
    } finally {
      button.disabled = false;
    }
  });
  return form;
}

function input(api, parameter) {
  const { name, required, schema, description } = parameter;
  const words = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : schema.const && [schema.const]);
  const field = words
    ? element("select", { required }, !required && element("option", { value: "" }, schema.default ?? ""), ...words.map((word) => element("option", {}, String(word))))
    : element("input", { required, autocomplete: "off", placeholder: schema.default ?? "" });
  if (required && !words) field.value = parameter.example ?? "";
  const label = element("label", {}, element("span", {}, element("b", {}, name), ` ${required ? "" : "(optional) "}${description}`), field);
  return { parameter, field, label };
}

function answers(api, operation) {
  const list = element("ul", { class: "answers" });
  for (const [status, answer] of Object.entries(operation.responses)) {
    const good = Number(status) < 400;
    const line = element("li", {}, element("b", { "data-good": String(good) }, status), ` ${answer.description}`);
    const schema = good && answer.content?.["application/json"]?.schema;
    if (schema) {
      const text = notation(schema, api);
      line.append(element("details", {}, element("summary", {}, "Schema"), element("pre", { tabindex: "0" }, text)));
    }
    list.append(line);
  }
  return element("div", {}, element("h3", {}, "Answers"), list);
}

function find() {
  const words = at("search").value.toLowerCase().trim().split(/\s+/);
  let count = 0;
  for (const group of routes.children) {
    let here = 0;
    for (const details of group.querySelectorAll("details.route")) {
      const fits = words.every((word) => details.dataset.words.includes(word));
      details.parentElement.hidden = !fits;
      here += fits;
    }
    group.hidden = here === 0;
    count += here;
  }
  setText(at("words"), count === 0 ? "No route matches." : `${count} routes.`);
}
