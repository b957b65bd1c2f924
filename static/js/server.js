// The REST calls of the page.

import { recall, remember } from "./storage.js";

/** The token from the fragment of the address, which browsers never send or log; only this tab keeps it. */
export function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    remember("token", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return recall("token");
}

/** Users as `[{id, name}]` whose name or id begins with `prefix`. */
export async function people(prefix, signal) {
  const { users } = await ask(`/v1/users?limit=50&prefix=${encodeURIComponent(prefix)}`, { signal });
  return users;
}

export function makePerson(id, name) {
  return ask(`/v1/users/${encodeURIComponent(id)}`, { method: "PUT", body: JSON.stringify({ name }) });
}

/** Available items as `{items: [{item, until?, text, topic?}]}`, without items that are always available. */
export async function availability() {
  const { items } = await ask("/v1/availability?live=true");
  return { items: items.map(({ available_until, ...item }) => ({ ...item, until: available_until ?? undefined })) };
}

/** The model of a user in the form of a `model` message, with the `decay` of `welcome`. */
export async function modelOf(id) {
  const model = await ask(`/v1/users/${encodeURIComponent(id)}/model`);
  return { ...model, auc_model: model.auc?.model ?? undefined, auc_topics: model.auc?.topics ?? undefined };
}

/** The topic weights of a user over time, with the decay curves of the server. */
export function topicHistory(id) {
  return ask(`/v1/users/${encodeURIComponent(id)}/topics/history`);
}

/** The friends of a user. */
export async function friendsOf(id) {
  const { friends } = await ask(`/user/${encodeURIComponent(id)}`);
  return friends;
}

async function ask(path, options = {}) {
  const headers = { accept: "application/json" };
  if (options.body) headers["content-type"] = "application/json";
  const bearer = token();
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  const answer = await fetch(path, { ...options, headers });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.detail ?? body?.title ?? `the server answered ${answer.status}`);
  return body;
}
