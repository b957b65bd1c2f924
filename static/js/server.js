// The server, by the client library: all requests and sockets of the pages go through here.

import { Eddyline } from "../../clients/javascript/src/index.js";
import { recall, remember } from "./storage.js";

let clients = null;

/** The client of this page's server. It sends the token of the tab. */
export function server() {
  clients ??= new Eddyline(location.origin, { token });
  return clients;
}

/** The token from the fragment of the address, which browsers never send or log; only this tab keeps it. */
export function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    useToken(given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return recall("token");
}

/** Keeps a token for this tab. */
export function useToken(given) {
  remember("token", given);
}

/** The user of a user's token, or null. The server checks the token; this only saves its holder a choice. */
export function userOf(given) {
  try {
    const text = atob(given.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    const { sub, role } = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
    return role === "service" || typeof sub !== "string" ? null : sub;
  } catch {
    return null;
  }
}

/** Available items as `{items: [{item, until?, text, topic?}]}`, without items that are always available. */
export async function availability() {
  const { items } = await server().availability({ live: true });
  return { items: items.map(({ available_until, ...item }) => ({ ...item, until: available_until ?? undefined })) };
}

/** The newest items that a user likes, and those that they hid or rejected; `whole` when there are no others. */
export async function standing(id) {
  const [liked, hidden] = await Promise.all([server().liked(id), server().hidden(id)]);
  return { liked: liked.items, hidden: hidden.items, whole: liked.next === undefined && hidden.next === undefined };
}

/** The model of a user in the form of a `model` message, with the `decay` of `welcome`. */
export async function modelOf(id) {
  const model = await server().model(id);
  return { ...model, auc_model: model.auc?.model ?? undefined, auc_topics: model.auc?.topics ?? undefined };
}
