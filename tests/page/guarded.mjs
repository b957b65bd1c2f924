// The page of a server with a secret, and a server that stops and starts again, in a real browser.
//
//   EDDYLINE=target/debug/eddyline node tests/page/guarded.mjs --playwright DIR
//
// DIR, CHROMIUM and the folder of screenshots are those of browser.mjs. Prints `N passed, M failed`, and exits with 1 when M is not 0.

import { createHmac } from "node:crypto";
import { Eddyline } from "../../clients/javascript/src/index.js";
import { Server } from "../../clients/javascript/test/server.mjs";
import { check, run, shot, step } from "./browser.mjs";

const WAIT_MS = 15_000;
const SECRET = "a secret for tests of at least 32 bytes";

function signed(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

const server = await new Server({ secret: SECRET }).start();
const service = new Eddyline(server.url, { token: signed({ sub: "tests", role: "service" }) });
for (const name of ["Ada", "Grace"]) await service.putUser(name.toLowerCase(), { name });
await service.createItems(["weir", "mill", "ford", "lock"].map((id) => ({ id, text: `The ${id} tonight`, topics: ["rivers"] })));
const ofAda = signed({ sub: "ada" });

let browser;

/** A page of its own, which keeps the addresses of all requests and the first frames of sockets. */
async function newPage(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url()));
  page.on("websocket", (socket) => addresses.push(socket.url()));
  return { page, addresses };
}

const online = (page) => page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
const card = (page, item) => page.locator(`.card:not(.leaving)[data-item="${item}"]`);
const likes = async () => {
  const { interactions } = await service.request("GET", "user/ada/feed");
  return interactions.filter(({ kind }) => kind === "like").map(({ item }) => item);
};

await run(async (opened) => {
  browser = opened;
  const { page, addresses } = await newPage();
  await step("a token in the fragment opens the stream of its user, and leaves the address", async () => {
    await page.goto(`${server.url}/#token=${ofAda}`);
    await online(page);
    await card(page, "weir").waitFor({ timeout: WAIT_MS });
    const address = await page.evaluate(() => location.href);
    check(address === `${server.url}/?user=ada`, `the address is ${address}`);
    check(addresses.slice(1).every((url) => !url.includes(ofAda.slice(0, 40))), "an address holds the token");
    const kept = await page.evaluate(() => [JSON.stringify(sessionStorage), JSON.stringify(localStorage)].map((text) => text.includes("eyJ")));
    check(kept[0] && !kept[1], `kept by the tab and beyond it: ${kept}`);
    await shot(page, "guarded-stream");
  });
  await step("a reload stays signed in", async () => {
    await page.reload();
    await online(page);
    await card(page, "weir").waitFor({ timeout: WAIT_MS });
  });
  await step("while the server is away a like waits, also through a reload of the tab, and it arrives once", async () => {
    await server.stop("SIGKILL");
    await page.locator("#line:not([data-state=online])").waitFor({ timeout: WAIT_MS });
    await card(page, "mill").locator("[data-kind=like]").click();
    await page.locator('.card[data-item="mill"][data-state=pending]').waitFor({ timeout: WAIT_MS });
    await shot(page, "guarded-away");
    const outbox = () => page.evaluate(() => JSON.parse(sessionStorage.getItem("eddyline.outbox.ada")));
    const [waiting] = await outbox();
    await server.start();
    await page.reload();
    await online(page);
    await page.waitForFunction(() => sessionStorage.getItem("eddyline.outbox.ada") === "[]", null, { timeout: WAIT_MS });
    const found = await likes();
    check(waiting.item === "mill" && found.join() === "mill", `waiting ${JSON.stringify(waiting)}, the server kept ${found}`);
  });

  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark-360", { colorScheme: "dark", viewport: { width: 360, height: 740 } }],
  ]) {
    const { page, addresses } = await newPage(options);
    await step(`${name}: without a token the page asks for one by keys, and shows the stream of its user`, async () => {
      await page.goto(server.url);
      await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
      check(await page.evaluate(() => document.activeElement.id === "token"), "the field has no focus");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(wide <= 0, `${wide} pixels too wide`);
      await shot(page, `guarded-token-${name}`);
      await page.keyboard.insertText("eyJ.wrong.token");
      await page.keyboard.press("Enter");
      await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
      await page.waitForFunction(() => document.querySelector("#people-words").textContent.includes("could not be read"), null, { timeout: WAIT_MS });
      await page.locator("#token").fill(ofAda);
      await page.keyboard.press("Enter");
      await online(page);
      await card(page, "weir").waitFor({ timeout: WAIT_MS });
      check(addresses.every((url) => !url.includes("eyJ")), "an address holds the token");
      await shot(page, `guarded-stream-${name}`);
    });
    await page.context().close();
  }

  await step("a service token lists the people", async () => {
    const { page } = await newPage();
    await page.goto(`${server.url}/#token=${signed({ sub: "tests", role: "service" })}`);
    await page.locator("#people-list button", { hasText: "Grace" }).click();
    await online(page);
    await page.context().close();
  });
  await step("a revoked or foreign user is refused in words, with the field for another token", async () => {
    const { page } = await newPage();
    await page.goto(`${server.url}/?user=grace#token=${ofAda}`);
    await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
    check((await page.textContent("#people-words")) !== "", "no words");
    await page.context().close();
  });
  await step("the admin page takes the token of the fragment, too", async () => {
    const { page } = await newPage();
    await page.goto(`${server.url}/admin#token=${signed({ sub: "tests", role: "service" })}`);
    await online(page);
    check(!(await page.evaluate(() => location.href)).includes("eyJ"), "the address keeps the token");
    await page.context().close();
  });
  await step("the pages load no module of their own that opens a connection", async () => {
    const { page, addresses } = await newPage();
    await page.goto(`${server.url}/#token=${ofAda}`);
    await online(page);
    const modules = addresses.filter((url) => url.endsWith(".js"));
    check(modules.some((url) => url.endsWith("/clients/javascript/src/client.js")), `loaded ${modules}`);
    const texts = await Promise.all(modules.filter((url) => url.includes("/static/")).map(async (url) => (await fetch(url)).text()));
    const found = texts.filter((text) => /\bfetch\(|new WebSocket|sendBeacon|XMLHttpRequest|EventSource/.test(text));
    check(found.length === 0, `${found.length} modules open connections`);
    await page.context().close();
  });
}, () => server.end());
