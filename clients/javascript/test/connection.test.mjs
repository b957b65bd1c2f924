// The connection is restored, resumes, and loses nothing.

import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { ENTRIES_MAX, Outbox } from "../src/outbox.js";
import { Connection, backoff } from "../src/connection.js";

class FakeSocket {
  readyState = 0;
  sent = [];
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  hear(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  drop() {
    this.readyState = 3;
    this.onclose?.();
  }
  get ids() {
    return this.sent.filter(({ type }) => type === "interact").map(({ id }) => id);
  }
}

const event = (id) => ({ type: "interact", id, item: `item of ${id}`, kind: "like" });
const welcome = { type: "welcome", session: "s", user: "u", epoch: 3, version: 9, server_time: 1_000_000 };

function setUp() {
  const sockets = [];
  const states = [];
  const outbox = new Outbox();
  const world = { sockets, states, outbox, resume: null, now: 0 };
  world.connection = new Connection({
    url: "ws://here/ws",
    makeSocket: (_url, protocols) => {
      assert.deepEqual(protocols, ["eddyline.v1"]);
      sockets.push(new FakeSocket());
      return sockets.at(-1);
    },
    hello: () => ({ user: "u", ranking: "model", limit: 30 }),
    resume: () => world.resume,
    outbox,
    clock: { now: () => world.now, learn() {} },
    random: () => 1,
    onState: (state) => states.push(state),
    onMessage: () => {},
  });
  world.submit = (id) => {
    outbox.add(event(id), world.now);
    world.connection.flush();
  };
  world.online = () => {
    sockets.at(-1).open();
    sockets.at(-1).hear(welcome);
    return sockets.at(-1);
  };
  return world;
}

// Timers that run on demand. Those of `node:test` differ between versions of Node.js.
const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
const timers = { now: 0, waiting: new Map(), number: 0 };
after(() => Object.assign(globalThis, real));

beforeEach(() => {
  timers.now = 0;
  timers.waiting.clear();
  globalThis.setTimeout = (action, wait = 0) => {
    timers.number += 1;
    timers.waiting.set(timers.number, { at: timers.now + wait, action });
    return timers.number;
  };
  globalThis.clearTimeout = (number) => timers.waiting.delete(number);
});

/** Lets this many milliseconds pass: runs all timers that are due, the earliest first. */
function tick(ms) {
  const end = timers.now + ms;
  for (;;) {
    const [first] = [...timers.waiting].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at);
    if (!first) break;
    timers.waiting.delete(first[0]);
    timers.now = Math.max(timers.now, first[1].at);
    first[1].action();
  }
  timers.now = end;
}

test("hello comes first, events after welcome and in order", () => {
  const world = setUp();
  world.submit("a");
  world.connection.start();
  world.submit("b");
  const [socket] = world.sockets;
  socket.open();
  assert.deepEqual(socket.sent, [{ type: "hello", user: "u", ranking: "model", limit: 30 }]);
  socket.hear(welcome);
  world.submit("c");
  assert.deepEqual(socket.ids, ["a", "b", "c"]);
});

test("after a drop it resumes, and what was not acknowledged goes again with the same ids", () => {
  const world = setUp();
  world.connection.start();
  const first = world.online();
  for (const id of ["a", "b", "c"]) world.submit(id);
  world.outbox.settle("b");
  world.resume = { epoch: 3, version: 9 };
  first.drop();
  world.submit("d");
  assert.equal(world.sockets.length, 1, "not at once");
  tick(backoff(0, () => 1));
  const second = world.online();
  assert.deepEqual(second.sent[0].resume, { epoch: 3, version: 9 });
  assert.deepEqual(second.ids, ["a", "c", "d"]);
  assert.deepEqual(world.states, ["connecting", "online", "waiting", "connecting", "online"]);
});

test("a restart asks for the whole feed once, and resumes again afterwards", () => {
  const world = setUp();
  world.resume = { epoch: 3, version: 9 };
  world.connection.start();
  world.online();
  world.connection.restart();
  assert.equal("resume" in world.online().sent[0], false);
  world.sockets.at(-1).drop();
  tick(60_000);
  assert.deepEqual(world.online().sent[0].resume, { epoch: 3, version: 9 });
});

test("busy: nothing more is sent before the time is over, then the same again", () => {
  const world = setUp();
  world.connection.start();
  const socket = world.online();
  world.submit("a");
  socket.hear({ type: "busy", id: "a", retry_after_ms: 1000 });
  world.submit("b");
  tick(999);
  assert.deepEqual(socket.ids, ["a"]);
  tick(400);
  assert.deepEqual(socket.ids, ["a", "a", "b"]);
});

test("a server that goes silent is given up", () => {
  const world = setUp();
  world.connection.start();
  const socket = world.online();
  tick(15_000);
  assert.equal(socket.sent.at(-1).type, "ping");
  socket.hear({ type: "pong", t: 0, server_time: 0 });
  tick(14_999);
  assert.equal(world.connection.state, "online");
  tick(1);
  tick(10_000);
  assert.equal(world.connection.state, "waiting");
});

test("refused: it does not come back by itself", () => {
  const world = setUp();
  world.connection.start();
  world.sockets[0].open();
  world.sockets[0].hear({ type: "error", code: "unknown_user", message: "no such person" });
  tick(600_000);
  assert.equal(world.sockets.length, 1);
});

test("a shutdown: it comes back", () => {
  const world = setUp();
  world.connection.start();
  world.online().hear({ type: "bye", reason: "shutdown" });
  tick(1000);
  assert.equal(world.sockets.length, 2);
});

test("what an abandoned socket still says is not heard", () => {
  const world = setUp();
  world.connection.start();
  const first = world.online();
  world.connection.restart();
  first.hear({ type: "bye", reason: "shutdown" });
  assert.equal(world.connection.state, "connecting");
});

test("backing off doubles up to an end, and half of it is chance", () => {
  assert.deepEqual([0, 1, 2, 30].map((attempt) => backoff(attempt, () => 1)), [400, 800, 1600, 15_000]);
  assert.deepEqual([0, 30].map((attempt) => backoff(attempt, () => 0)), [200, 7500]);
});

test("an event that had to wait says when it was made, and says the same ever after", () => {
  const outbox = new Outbox();
  outbox.add(event("a"), 10_000);
  outbox.add(event("b"), 19_500);
  const [late, fresh] = outbox.takeUnsent(20_000);
  assert.equal(late.at, 10_000);
  assert.equal(fresh.at, undefined);
  outbox.unsend();
  assert.deepEqual(outbox.takeUnsent(90_000), [late, fresh]);
});

test("the outbox has an end, and refuses what could not travel", () => {
  const outbox = new Outbox();
  for (let number = 0; number < ENTRIES_MAX; number += 1) assert.equal(outbox.add(event(String(number)), 0), true);
  assert.equal(outbox.add(event("one too many"), 0), false);
  assert.equal(new Outbox().add({ ...event("large"), text: "\u00e9".repeat(40_000) }, 0), false);
});

test("a reload finds the outbox again", () => {
  let saved = [];
  const outbox = new Outbox([], (messages) => (saved = structuredClone(messages)));
  outbox.add(event("a"), 0);
  outbox.add(event("b"), 0);
  outbox.settle("a");
  assert.deepEqual(new Outbox(saved).takeUnsent(0).map(({ id }) => id), ["b"]);
});
