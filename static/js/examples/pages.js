// The sample site /examples/pages: pages A to J, which measure their visitor and show the visitor's figures.
//
// Invariant: only time with a visible page counts. Each visit is sent once, with an id of its own. Only this tab keeps the
// visitor and the token (sessionStorage).

import { PAGES, Visit, pageOf, rowsOf, verdict } from "./visits.js";
import { newId } from "../../../clients/javascript/src/index.js";

/** The figures are asked for again at this interval while the page is visible: other visitors change them, too. */
const EVERY_MS = 5_000;
const get = (id) => document.getElementById(id);
const visit = new Visit();
let page = pageOf(location.hash);
let visitor = new URLSearchParams(location.search).get("user") ?? kept("visitor");
let asked = 0;

function kept(name, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(`eddyline.pages.${name}`, value);
    return sessionStorage.getItem(`eddyline.pages.${name}`);
  } catch {
    return value ?? null;
  }
}

/** Calls a route. Throws an error with the `status` of a refusal; 0 without an answer. */
async function call(method, path, body) {
  const headers = { accept: "application/json" };
  const token = kept("token");
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    // A request of a page that closes must outlive it.
    answer = await fetch(path, { method, headers, body: JSON.stringify(body), keepalive: method === "POST" });
  } catch {
    throw Object.assign(new Error("The server does not answer."), { status: 0 });
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(found.detail ?? `The server answered ${answer.status}.`), { status: answer.status });
  return found;
}

const userPath = (rest = "") => `/v1/users/${encodeURIComponent(visitor)}${rest}`;

/** Ends the visit and sends it, then asks for the figures that follow. */
async function leave() {
  const measured = visit.end(performance.now());
  if (!measured || !visitor) return;
  try {
    await call("POST", `/v1/metrics?user=${encodeURIComponent(visitor)}`, { ...measured, id: newId() });
    await show();
  } catch (error) {
    fail(error);
  }
}

function enter() {
  if (visitor && document.visibilityState === "visible") visit.begin(page.type, performance.now());
}

/** Asks for the visitor's figures and draws them. An answer that a later one overtook is dropped. */
async function show() {
  if (!visitor) return;
  const number = ++asked;
  try {
    const answer = await call("GET", userPath("/metrics"));
    if (number !== asked) return;
    draw(answer);
    say(null);
    status("online", `measures ${visitor}`);
    get("token-form").hidden = true;
    get("make").hidden = true;
  } catch (error) {
    if (number === asked) fail(error);
  }
}

function draw(answer) {
  const cell = (name, words) => Object.assign(document.createElement(name), { textContent: words });
  const head = document.createElement("tr");
  for (const words of ["page", "visits", "own mean, s", "all users, s", "95 % of users, s", "deviations"]) {
    head.append(Object.assign(cell("th", words), { scope: "col" }));
  }
  const rows = rowsOf(answer.metrics).map(({ name, type, atypical, cells }) => {
    const row = document.createElement("tr");
    row.classList.toggle("is-atypical", atypical);
    if (type === page.type) row.setAttribute("aria-current", "page");
    row.dataset.page = name;
    row.append(Object.assign(cell("th", name), { scope: "row" }), ...cells.map((words) => cell("td", words)));
    return row;
  });
  const [above, body] = [document.createElement("thead"), document.createElement("tbody")];
  above.append(head);
  body.append(...rows);
  get("figures").replaceChildren(above, body);
  const words = verdict(answer);
  // A status that is written again would be read again.
  if (get("verdict").textContent !== words) get("verdict").textContent = words;
}

function fail(error) {
  if (error.status === undefined) throw error;
  if (error.status === 401 || error.status === 403) {
    const form = get("token-form");
    if (!form.hidden) get("token-words").textContent = `It was refused: ${error.message}`;
    form.hidden = false;
    status("refused", "needs a token");
    return;
  }
  get("make").hidden = error.status !== 404;
  status("offline", "not measured");
  say(error.message);
}

function say(words) {
  get("trouble").hidden = words === null;
  get("trouble").textContent = words ?? "";
}

function status(state, words) {
  get("line").dataset.state = state;
  if (get("line-words").textContent !== words) get("line-words").textContent = words;
}

function turn() {
  page = pageOf(location.hash);
  document.title = `Page ${page.name} \u00b7 Eddyline`;
  get("page-title").textContent = `Page ${page.name}`;
  get("page-words").textContent = `A visit here is a measurement of the metric time_spent with the type ${page.type}.`;
  for (const link of get("pages").children) {
    if (link.hash === page.hash) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

get("pages").append(
  ...PAGES.map(({ name, hash }) => Object.assign(document.createElement("a"), { href: hash, textContent: name, ariaLabel: `Page ${name}` })),
);
get("visitor").value = visitor ?? "";
get("visitor-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  await leave();
  visitor = get("visitor").value.trim();
  kept("visitor", visitor);
  get("figures").replaceChildren();
  enter();
  show();
});
get("make").addEventListener("click", async () => {
  try {
    await call("PUT", userPath(), {});
    get("visitor").focus();
    show();
  } catch (error) {
    fail(error);
  }
});
get("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  kept("token", get("token").value.trim());
  show();
});
addEventListener("hashchange", () => {
  leave();
  turn();
  enter();
});
addEventListener("pagehide", leave);
document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? enter() : leave()));
setInterval(() => document.visibilityState === "visible" && show(), EVERY_MS);
turn();
enter();
if (visitor) show();
else get("visitor").focus();
