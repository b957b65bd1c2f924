// Pages of an allowed and of a foreign origin in a real browser, against a server without and with a secret: preflight
// requests, headers, routes that change data, and the socket.
//
//   EDDYLINE=target/debug/eddyline node tests/page/origins.mjs --playwright DIR
//
// DIR and CHROMIUM are those of browser.mjs. Prints `N passed, M failed`, and exits with 1 when M is not 0.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { Eddyline } from "../../clients/javascript/src/index.js";
import { Server } from "../../clients/javascript/test/server.mjs";
import { run, step } from "./browser.mjs";

const SECRET = "a secret for tests of at least 32 bytes";

function equal(found, expected, words) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${words}: ${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
}

function signed(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

/** An origin of its own with one empty page. */
async function site() {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<!doctype html><title>page</title>"));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}`, end: () => server.close() };
}

const JSON_TYPE = { "content-type": "application/json" };
const like = { user: "ada", item: "weir", kind: "like" };
// Requests that change data: method, path, headers, body. Each of them succeeds for a page that may ask.
const CHANGES = [
  ["POST", "v1/interactions", { ...JSON_TYPE, "idempotency-key": "page-1" }, like],
  ["DELETE", "v1/users/ada/interactions/page-1", { "idempotency-key": "page-2" }],
  ["POST", "v1/interactions", { "content-type": "application/x-ndjson" }, { ...like, id: "page-3", kind: "hide" }],
  ["PUT", "v1/users/ada/follows/grace", { "idempotency-key": "page-4" }],
  ["POST", "v1/follows", JSON_TYPE, [{ user: "ada", whom: "grace", on: false, id: "page-5" }]],
  ["PATCH", "v1/users/ada/model", JSON_TYPE, { topics: { rivers: 0.5 }, id: "page-6" }],
  ["POST", "v1/metrics?user=ada", { ...JSON_TYPE, "idempotency-key": "page-7" }, { metric: "time_spent", type: "post", value: 3 }],
  ["POST", "v1/users", JSON_TYPE, [{ user: "eve" }]],
  ["PUT", "v1/items/quay", JSON_TYPE, { text: "The quay", topic: "rivers" }],
  ["PUT", "v1/items/quay/windows", JSON_TYPE, [{ start: 1767225600000 }]],
  ["POST", "v1/deletions", JSON_TYPE, [{ item: "quay" }, { user: "eve" }]],
  ["POST", "v1/recommend", JSON_TYPE, { items: ["weir"] }],
];
const READS = [
  "v1/users/ada", "v1/users/ada/feed", "v1/users/ada/hidden", "v1/users/ada/liked", "v1/users/ada/similar", "user/ada/feed?limit=1",
  "v1/items/weir/similar", "v1/search?q=weir", "v1/popular?limit=1", "v1/topics", "v1/models", "openapi.json",
];

/** Asks from a page; an answer that the page may not read is `null`. */
const ask = (page, base, token, [method, path, headers = {}, body]) =>
  page.evaluate(
    async ([url, method, headers, body]) => {
      try {
        const answer = await fetch(url, { method, headers, body, cache: "no-store" });
        return { status: answer.status, etag: answer.headers.get("etag"), left: answer.headers.get("ratelimit-remaining"), text: await answer.text() };
      } catch {
        return null;
      }
    },
    [`${base}/${path}`, method, token ? { ...headers, authorization: `Bearer ${token}` } : headers, body && JSON.stringify(body)],
  );

/** The type of the first message of a socket that the page opens, or how it failed. */
const hello = (page, base, token) =>
  page.evaluate(
    ([url, token]) =>
      new Promise((done) => {
        const socket = new WebSocket(url, ["eddyline.v1"]);
        socket.onopen = () => socket.send(JSON.stringify({ type: "hello", user: "ada", ...(token && { token }) }));
        socket.onmessage = ({ data }) => (done(JSON.parse(data).type), socket.close());
        socket.onerror = () => done("refused");
      }),
    [`${base.replace("http", "ws")}/ws`, token],
  );

const [friend, stranger] = [await site(), await site()];

await run(
  async (browser) => {
    for (const secret of [undefined, SECRET]) {
      const mode = secret ? "with a secret" : "without a secret";
      const token = secret && signed({ sub: "tests", role: "service" });
      const server = await new Server({ secret, env: { EDDYLINE_ORIGINS: JSON.stringify([friend.url]) } }).start();
      const service = new Eddyline(server.url, { token });
      const state = async () => ({
        users: (await service.users()).map(({ user }) => user),
        items: (await service.items()).items.map(({ item, text, windows }) => [item, text, windows]),
        ada: await service.exportUser("ada").then(({ journal, follows }) => [journal, follows]),
        hidden: await service.hidden("ada"),
      });
      /** A page of this origin, with the paths of its preflight requests. */
      const open = async ({ url }) => {
        const page = await (await browser.newContext()).newPage();
        const preflights = [];
        const events = await page.context().newCDPSession(page);
        await events.send("Network.enable");
        events.on("Network.requestWillBeSent", ({ request }) => {
          if (request.method === "OPTIONS") preflights.push(new URL(request.url).pathname.slice(1));
        });
        await page.goto(url);
        return { page, preflights };
      };
      try {
        for (const user of ["ada", "grace"]) await service.putUser(user);
        await service.createItems(["weir", "mill"].map((item) => ({ item, text: `The ${item} tonight`, topic: "rivers" })));
        const before = await state();

        const foreign = await open(stranger);
        await step(`${mode}: a foreign page changes nothing, whatever it sends`, async () => {
          for (const change of CHANGES) {
            equal(await ask(foreign.page, server.url, token, change), null, change.slice(0, 2).join(" "));
          }
          equal(await state(), before, "the state");
        });
        await step(`${mode}: a foreign page changes nothing without a preflight either, by a simple request and by a form`, async () => {
          await foreign.page.evaluate(
            async ([base, bodies]) => {
              for (const [path, body] of bodies) {
                for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
                  await fetch(`${base}/${path}`, { method: "POST", mode: "no-cors", headers: { "content-type": type }, body });
                }
                await navigator.sendBeacon(`${base}/${path}`, body);
              }
            },
            [server.url, CHANGES.filter(([method]) => method === "POST").map(([, path, , body]) => [path, JSON.stringify(body)])],
          );
          const form = await open(stranger);
          const [answer] = await Promise.all([
            form.page.waitForNavigation(),
            form.page.evaluate((address) => {
              const form = Object.assign(document.createElement("form"), { method: "post", action: address, enctype: "text/plain" });
              form.append(Object.assign(document.createElement("input"), { name: '{"user":"ada","item":"weir","kind":"like","x":"', value: '"}' }));
              document.body.append(form);
              form.submit();
            }, `${server.url}/v1/interactions`),
          ]);
          equal(answer.status(), 403, "the form");
          await form.page.context().close();
          equal(await state(), before, "the state");
        });
        await step(`${mode}: a foreign page reads no answer and opens no socket`, async () => {
          for (const path of READS) equal(await ask(foreign.page, server.url, token, ["GET", path]), null, path);
          equal(await hello(foreign.page, server.url, token), "refused", "the socket");
        });

        const allowed = await open(friend);
        await step(`${mode}: a page of an allowed origin reads every answer, and opens a socket`, async () => {
          for (const path of READS) equal((await ask(allowed.page, server.url, token, ["GET", path]))?.status, 200, path);
          equal(await hello(allowed.page, server.url, token), "welcome", "the socket");
        });
        await step(`${mode}: after a preflight it sends If-None-Match, and reads the tag and the rest of its rate`, async () => {
          const read = ["GET", "v1/items/weir"];
          const { etag, left } = await ask(allowed.page, server.url, token, read);
          if (!etag || !(Number(left) > 0)) throw new Error(`etag ${etag}, ratelimit-remaining ${left}`);
          equal((await ask(allowed.page, server.url, token, [...read, { "if-none-match": etag }]))?.status, 304, "unchanged");
          equal((await ask(allowed.page, server.url, token, [...read, { "if-none-match": '"other"' }]))?.status, 200, "changed");
        });
        await step(`${mode}: it changes data by every route, and a repeated Idempotency-Key is answered alike`, async () => {
          for (const change of CHANGES) {
            const answer = await ask(allowed.page, server.url, token, change);
            if (!answer || answer.status > 299 || answer.text.includes('"refused"')) throw new Error(`${change.slice(0, 2).join(" ")}: ${JSON.stringify(answer)}`);
            if (!change[2]["idempotency-key"]) continue;
            equal((await ask(allowed.page, server.url, token, change)).text, answer.text, `${change[1]} again`);
          }
          const { journal } = await service.exportUser("ada");
          equal(journal.map(({ id }) => id), ["page-1", "page-2", "page-3", "page-4", "page-5", "page-6", "page-7"], "the journal");
          for (const path of ["v1/interactions", "v1/recommend", "v1/users/ada/follows/grace", "v1/items/weir"]) {
            if (!allowed.preflights.includes(path)) throw new Error(`no preflight of ${path}: ${allowed.preflights}`);
          }
        });
        if (secret) {
          await step("with a secret: an allowed page without a token reads the refusal, and changes nothing", async () => {
            const kept = await state();
            for (const change of CHANGES) equal((await ask(allowed.page, server.url, null, change))?.status, 401, change[1]);
            equal(await state(), kept, "the state");
          });
        }
        for (const { page } of [foreign, allowed]) await page.context().close();
      } finally {
        await server.end();
      }
    }
  },
  () => [friend, stranger].forEach(({ end }) => end()),
);
