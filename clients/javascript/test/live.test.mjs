// REST and sessions against a real server: reconnect, resume, offline queue, idempotent ids, tokens.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { Eddyline, EddylineError, FileStorage, MemoryStorage } from "../src/node.js";
import { Server } from "./server.mjs";

const SECRET = "a secret for tests of at least 32 bytes";
const ITEMS = ["weir", "mill", "ford", "lock", "quay"];
let server;
let client;

before(async () => {
  server = await new Server().start();
  client = new Eddyline(server.url);
  await client.createItems(ITEMS.map((item) => ({ item, text: `The ${item} tonight`, topic: "rivers" })));
});
after(() => server.end());

let people = 0;
async function person() {
  people += 1;
  const id = `person ${people}/ä`;
  await client.putUser(id, { name: `Person ${people}` });
  return id;
}

const likes = async (user) => (await client.request("GET", `user/${encodeURIComponent(user)}/feed`)).interactions.filter(({ kind }) => kind === "like");

async function online(session) {
  const first = session.next("feed");
  session.start();
  await first;
  return session;
}

test("users, items, follows and feeds over REST", async () => {
  const [ada, grace] = [await person(), await person()];
  assert.equal((await client.user(ada)).name, "Person 1");
  await client.follow(ada, grace);
  assert.deepEqual((await client.user(ada)).friends.map((friend) => friend.id ?? friend), [grace]);
  await client.unfollow(ada, grace);
  assert.deepEqual((await client.user(ada)).friends, []);
  assert.ok((await client.users({ prefix: "Person" })).length >= 2);
  const feed = await client.feed(ada, { limit: 3, explain: true });
  assert.equal(feed.items.length, 3);
  const { accepted, rejected } = await client.predict(ada, "weir");
  assert.ok(Math.abs(accepted + rejected - 1) < 1e-6);
  const { accepted: then } = await client.judge(ada, "weir", "accepted");
  assert.ok(then > accepted, `${then} after ${accepted}`);
  await client.setTopics(ada, { rivers: 0.5 });
  assert.ok((await client.model(ada)).topics.rivers > 0.4);
});

test("a deletion whose answer was lost is done", async () => {
  await client.putItem("adrift", { text: "A boat adrift" });
  const sent = [];
  const lossy = async (...request) => {
    const answer = await fetch(...request);
    sent.push(answer.status);
    if (sent.length === 1) throw new TypeError("the connection broke");
    return answer;
  };
  const other = new Eddyline(server.url, { fetch: lossy });
  assert.equal(await other.deleteItem("adrift"), null);
  assert.deepEqual(sent, [204, 404]);
  await assert.rejects(other.deleteItem("adrift"), { code: "unknown_item" });
});

test("what browsers drop from a path is no key", async () => {
  const ada = await person();
  for (const key of ["", ".", ".."]) {
    for (const ask of [() => client.unfollow(ada, key), () => client.undo(ada, key), () => client.user(key)]) {
      await assert.rejects(async () => ask(), TypeError);
    }
  }
  assert.equal((await client.user(ada)).user, ada);
});

test("the catalogue, page by page, with topics, windows and similar items", async () => {
  const found = [];
  for await (const { item } of client.allItems({ limit: 2 })) found.push(item);
  assert.deepEqual(ITEMS.filter((item) => !found.includes(item)), []);
  const made = await client.createItem({ text: "made", topics: ["other"] });
  await client.patchItem(made.item, { text: "changed" });
  assert.equal((await client.item(made.item)).text, "changed");
  await client.putItem(made.item, { text: "whole" });
  await client.putWindows(made.item, [{ start: 1_000, stop: 2_000 }]);
  await client.deleteItem(made.item);
  await assert.rejects(client.item(made.item), { code: "unknown_item", status: 404 });
  assert.ok((await client.topics()).topics.some(({ topic }) => topic === "rivers"));
  assert.ok((await client.similar("weir", { by: "embedding" })).length > 0);
  assert.ok((await client.popular({ limit: 2 })).length > 0);
  const popular = [];
  for await (const { item } of client.all("v1/popular", "items", { limit: 2 })) popular.push(item);
  assert.deepEqual([...popular].sort(), [...new Set(popular)].sort());
  assert.deepEqual(ITEMS.filter((item) => !popular.includes(item)), []);
});

test("metrics and clusterings", async () => {
  const user = await person();
  const { accepted } = await client.measure([{ metric: "time_spent", type: "post", value: 12.5 }], { user });
  assert.equal(accepted, 1);
  await client.putMetric("taps", { unit: "1", range: [0, 100] });
  assert.ok((await client.metrics()).declarations.some(({ name }) => name === "taps"));
  await client.deleteMetric("taps");
  await client.putClustering("mine", { columns: ["visits"] });
  assert.ok((await client.clusterings()).some(({ name }) => name === "mine"));
  assert.equal((await client.clustering("mine")).name, "mine");
  await client.deleteClustering("mine");
});

test("interactions in bulk: a refused one does not affect the others, and a resend is learned once", async () => {
  const user = await person();
  const events = [{ user, item: "weir", kind: "like", id: "one" }, { user, item: "nowhere", kind: "like" }];
  const first = await client.interactAll(events);
  assert.equal(first.length, 2);
  await client.interactAll(events.slice(0, 1));
  await client.interact(events[0]);
  assert.equal((await likes(user)).length, 1);
});

test("undo, liked and hidden items: a cancelled act was never done", async () => {
  const user = await person();
  await client.interactAll([
    { user, item: "weir", kind: "like", id: "one" },
    { user, item: "mill", kind: "hide", id: "two" },
    { user, item: "ford", kind: "like", id: "three" },
  ]);
  assert.deepEqual((await client.liked(user)).items.map(({ item }) => item), ["ford", "weir"]);
  assert.deepEqual((await client.hidden(user)).items.map(({ item, kind }) => [item, kind]), [["mill", "hide"]]);
  const { items, next } = await client.liked(user, { limit: 1 });
  assert.deepEqual([items[0].item, (await client.liked(user, { after: next })).items[0].item], ["ford", "weir"]);
  const first = await client.undo(user, "one");
  assert.deepEqual([first.event, (await client.undo(user, "one")).seq], ["one", first.seq]);
  await client.undo(user, "two");
  assert.deepEqual((await client.liked(user)).items.map(({ item }) => item), ["ford"]);
  assert.deepEqual((await client.hidden(user)).items, []);
  await assert.rejects(client.undo(user, "never sent"), { code: "unknown_event", status: 404 });
});

test("search, recommendations, similar users and stored models", async () => {
  const user = await person();
  assert.deepEqual((await client.search("quay tonight", { available: true })).items.map(({ item }) => item), ["quay"]);
  const page = await client.search("tonight", { limit: 2 });
  const below = await client.search("tonight", { limit: 2, after: page.next });
  assert.equal(new Set([...page.items, ...below.items].map(({ item }) => item)).size, 4);
  const found = await client.recommend({ items: ["weir", { item: "mill", kind: "like" }], limit: 2, exclude: ["weir"] });
  assert.equal(found.items.length, 2);
  assert.ok(found.items.every(({ item }) => item !== "weir"));
  const boosted = await client.recommend({ user, filters: { topic: "rivers" }, boosts: [{ item: "lock", factor: 1000 }] });
  assert.equal(boosted.items[0].item, "lock");
  assert.equal((await client.recommend()).user, null);
  assert.ok(Array.isArray(await client.similarUsers(user, { by: "topics" })));
  assert.deepEqual(await client.models(), []);
  await assert.rejects(client.storedModel(1), { code: "unknown_model" });
});

test("users, follows and deletions in bulk have one result per part", async () => {
  const made = await client.putUsers([{ user: "bulk-ada" }, { user: "bulk-grace", name: "Grüße" }, { user: "" }]);
  assert.deepEqual(made.map(({ status }) => status), ["created", "created", "refused"]);
  assert.equal((await client.user("bulk-grace")).name, "Grüße");
  const followed = await client.followAll([{ user: "bulk-ada", whom: "bulk-grace" }, { user: "bulk-ada", whom: "nobody" }]);
  assert.deepEqual(followed.map(({ status }) => status), ["accepted", "refused"]);
  assert.deepEqual((await client.user("bulk-ada")).friends, ["bulk-grace"]);
  const gone = await client.deleteAll([{ user: "bulk-ada" }, { item: "nowhere" }]);
  assert.deepEqual(gone.map(({ status }) => status), ["deleted", "refused"]);
});

test("a storage file that holds something else is set aside with a warning", async () => {
  const folder = mkdtempSync(join(tmpdir(), "eddyline-storage-"));
  for (const text of ["{", "", "[]", "7", '{"a": 7}']) {
    const file = join(folder, "session.json");
    writeFileSync(file, text);
    const warned = once(process, "warning");
    const storage = new FileStorage(file);
    assert.match((await warned)[0].message, /session\.json\.bad/);
    assert.equal(readFileSync(`${file}.bad`, "utf8"), text);
    assert.equal(storage.getItem("a"), null);
    storage.setItem("a", "kept");
    assert.equal(new FileStorage(file).getItem("a"), "kept");
  }
  rmSync(folder, { recursive: true });
});

test("a refusal names its code and its fields", async () => {
  const error = await client.feed(await person(), { limit: 0 }).catch((error) => error);
  assert.ok(error instanceof EddylineError);
  assert.deepEqual([error.code, error.status, error.faults[0].field], ["out_of_range", 422, "limit"]);
  await assert.rejects(client.request("GET", "http://elsewhere.example/v1/users"), TypeError);
});

test("a session shows what REST says, and an act moves it", async () => {
  const user = await person();
  const session = await online(client.session(user, { limit: 5, explain: true }));
  const { items } = await client.feed(user, { limit: 5 });
  assert.deepEqual(session.feed.items.map(({ item }) => item), items.map(({ item }) => item));
  const changed = session.next("feed", ({ cause }) => cause?.kind === "event");
  const { id, done } = session.hide(items[0].item);
  assert.equal((await done).id, id);
  await changed;
  assert.ok(session.feed.items.every(({ item }) => item !== items[0].item));
  const { item } = await session.post("High water", { topic: "rivers" }).done;
  await session.setLive(item, true).done;
  await session.setTopics({ rivers: 0.75 }).done;
  const other = await person();
  await session.follow(other).done;
  await session.unfollow(other).done;
  const reconfigured = session.next("feed", ({ feed }) => feed.ranking === "flat");
  session.configure({ ranking: "flat" });
  await reconfigured;
  const page = session.next("page");
  session.more();
  await page;
  session.close();
});

test("what was liked, hidden or shared is taken back over the socket", async () => {
  const user = await person();
  const session = await online(client.session(user));
  const standing = async (list) => (await client[list](user)).items.map(({ item }) => item);
  await session.like("weir").done;
  await session.hide("mill").done;
  const share = session.interact("ford", "share");
  await share.done;
  assert.deepEqual([await standing("liked"), await standing("hidden")], [["weir"], ["mill"]]);
  await session.unlike("weir").done;
  await session.unhide("mill").done;
  await session.undo(share.id).done;
  await session.undo(share.id).done; // again: accepted as before
  assert.deepEqual([await standing("liked"), await standing("hidden")], [[], []]);
  await assert.rejects(session.undo("no such event").done, { code: "unknown_event" });
  session.close();
});

test("a refused event rejects its promise, and is not sent again", async () => {
  const session = await online(client.session(await person()));
  await assert.rejects(session.like("nowhere").done, { code: "unknown_item" });
  assert.equal(session.waiting, 0);
  session.close();
});

test("while the server is away an event waits, a restart of the program keeps it, and it arrives once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "eddyline-storage-"));
  const file = join(folder, "session.json");
  const user = await person();
  const session = await online(client.session(user, { storage: new FileStorage(file) }));
  const version = session.feed.version;
  await server.stop("SIGKILL");
  await session.next("state", ({ state }) => state === "waiting");
  const { id, done } = session.like("mill");
  session.close();
  await assert.rejects(done, { code: "closed" });

  const again = client.session(user, { storage: new FileStorage(file) });
  assert.deepEqual(again.waitingIds, [id]);
  assert.equal(again.feed.version, version, "the feed is shown at once");
  const accepted = again.next("accepted");
  again.start();
  await again.next("state", ({ state }) => state === "waiting");
  await server.start();
  again.hurry();
  assert.equal((await accepted).event.id, id);
  assert.equal(again.waiting, 0);
  again.close();
  assert.deepEqual((await likes(user)).map(({ item }) => item), ["mill"]);
  rmSync(folder, { recursive: true });
});

test("after a drop the session resumes with a patch of its own version", async () => {
  const user = await person();
  const sockets = [];
  const makeSocket = (url, protocols) => sockets[sockets.push(watched(url, protocols)) - 1];
  const session = await online(new Eddyline(server.url, { makeSocket }).session(user, { limit: 3 }));
  // The acknowledgement has left before the answer to this event comes.
  await session.interact("weir", "view").done;
  const shown = session.feed.version;
  sockets[0].terminate();
  await session.next("state", ({ state }) => state === "waiting");
  await client.interact({ user, item: session.feed.items[0].item, kind: "hide" });
  const resumed = session.next("feed");
  session.hurry();
  await resumed;
  assert.deepEqual(sockets[1].sent[0].resume.version, shown);
  assert.equal(sockets[1].heard.find(({ type }) => type === "patch" || type === "feed").type, "patch");
  const { items } = await client.feed(user, { limit: 3 });
  assert.deepEqual(session.feed.items.map(({ item }) => item), items.map(({ item }) => item));
  session.close();
});

test("events of a dropped socket leave again under their ids, and are learned once", async () => {
  const user = await person();
  const sockets = [];
  const makeSocket = (url, protocols) => sockets[sockets.push(watched(url, protocols)) - 1];
  const session = await online(new Eddyline(server.url, { makeSocket }).session(user));
  const sent = ITEMS.map((item) => session.like(item));
  sockets[0].terminate();
  await Promise.all(sent.map(({ done }) => done));
  session.close();
  assert.equal((await likes(user)).length, ITEMS.length);
});

test("an unknown user is refused, and the session does not return by itself", async () => {
  const session = client.session("nobody here");
  const refused = session.next("state", ({ state }) => state === "refused");
  session.start();
  assert.equal((await refused).detail.code, "unknown_user");
  session.close();
});

test("with a secret a token opens REST and sessions, and none is refused", async () => {
  const guarded = await new Server({ secret: SECRET }).start();
  try {
    const service = new Eddyline(guarded.url, { token: signed({ sub: "tests", role: "service" }) });
    await service.putUser("ada");
    await service.createItem({ item: "weir", text: "The weir" });
    const { token } = await service.createToken({ user: "ada" });
    const ada = new Eddyline(guarded.url, { token: async () => token });
    assert.equal((await ada.feed("ada")).items.length, 1);
    const session = await online(ada.session("ada", { storage: new MemoryStorage() }));
    await session.like("weir").done;
    session.close();
    const none = new Eddyline(guarded.url);
    await assert.rejects(none.feed("ada"), { code: "unauthorized", status: 401 });
    const refused = none.session("ada");
    const state = refused.next("state", ({ state }) => state === "refused");
    refused.start();
    assert.equal((await state).detail.code, "unauthorized");
    refused.close();
  } finally {
    await guarded.end();
  }
});

/** A token of the server's secret. */
function signed(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

/** A socket that keeps the messages of both sides. */
function watched(url, protocols) {
  const socket = new WebSocket(url, protocols);
  Object.assign(socket, { sent: [], heard: [] });
  const send = socket.send.bind(socket);
  socket.send = (text) => (socket.sent.push(JSON.parse(text)), send(text));
  socket.on("message", (data) => socket.heard.push(JSON.parse(String(data))));
  return socket;
}
