// A user's tour of the page of a running server, in a real browser.
//
//   EDDYLINE_URL=http://127.0.0.1:8080 EDDYLINE_SHOTS=shots node tests/page/walk.mjs --playwright DIR
//
// DIR, CHROMIUM and the folder of screenshots are those of browser.mjs. Prints `N passed, M failed`, and exits with 1 when M
// is not 0.

import { check, run, shot, step } from "./browser.mjs";

const BASE = new URL(process.env.EDDYLINE_URL ?? "http://127.0.0.1:8080").origin;
const WAIT_MS = 10_000;
let browser;

await run(async (opened) => {
  browser = opened;
  await walk();
  await quiet();
  await droppedLine();
  await phone();
  await admin();
  await judging();
  await examples();
});

async function walk() {
  const { page, troubles, strangers } = await newPage({ viewport: { width: 1440, height: 900 } });
  const hellos = [];
  let modelCame = Date.now();
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => {
      const message = JSON.parse(payload);
      if (message.type === "hello") hellos.push(message);
    });
    socket.on("framereceived", ({ payload }) => {
      if (JSON.parse(payload).type === "model") modelCame = Date.now();
    });
  });

  await step("the page comes with a strict policy", async () => {
    const answer = await page.goto(BASE);
    const policy = answer.headers()["content-security-policy"] ?? "";
    check(/default-src 'self'/.test(policy), `the policy is ${policy || "absent"}`);
    check(!/unsafe-|https?:|\*/.test(policy), `the policy is weak: ${policy}`);
  });

  await step("a person can be picked", async () => {
    await page.locator("#people-list button").first().waitFor({ timeout: WAIT_MS });
    await shot(page, "1-people");
    await page.locator("#people-list button").first().click();
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await cards(page).nth(2).waitFor({ timeout: WAIT_MS });
    await page.locator("#liked[data-read]").waitFor({ state: "attached", timeout: WAIT_MS });
    await still(page);
    await shot(page, "2-stream");
  });

  await step("a like of the third post is pending or accepted at once, then accepted, and re-ranks", async () => {
    await cards(page).nth(2).hover();
    const key = await page.locator('.card:not(.leaving)[data-reaction=""]').nth(1).getAttribute("data-item");
    const version = await versionOf(page);
    const before = await places(page);
    const pressed = Date.now();
    await byKey(page, key).locator("[data-kind=like]").click();
    const liked = byKey(page, key);
    const state = await liked.getAttribute("data-state");
    check(["pending", "accepted"].includes(state), `right after the click the state is ${state}`);
    // The page shows it for some seconds only, so it is awaited in parallel.
    const said = page.waitForFunction(() => /Re-ranked by your like/.test(document.querySelector("#cause").textContent));
    await Promise.all([accepted(page, key, pressed), said]);
    await page.waitForFunction((old) => document.querySelector("#feed").dataset.version !== old, version);
    check(/ms/.test(await page.textContent("#took")), "no word of how long it took");
    await still(page);
    const there = before.findIndex(({ item }) => item === key) + 1;
    check(same(before.slice(0, there), (await places(page)).slice(0, there)), "the liked post, or one above it, moved");
    await shot(page, "3-liked");
  });

  await step("why: the contributions sum to the score that is shown", async () => {
    const key = await cards(page).first().getAttribute("data-item");
    await byKey(page, key).locator(".why-toggle").click();
    await byKey(page, key).locator(".why-table").waitFor({ timeout: WAIT_MS });
    const found = await byKey(page, key).evaluate((card) => ({
      amounts: [...card.querySelectorAll("tr[data-amount]")].map(({ dataset }) => Number(dataset.amount)),
      written: [...card.querySelectorAll("tbody .number")].map(({ textContent }) => textContent),
      score: Number(card.querySelector("tr[data-score]").dataset.score),
      shown: card.querySelector(".score").textContent,
    }));
    const number = (text) => Number(text.replace("\u2212", "-"));
    const sum = found.amounts.reduce((total, amount) => total + amount, 0);
    check(found.amounts.length > 0, "no contributions");
    check(Math.abs(sum - found.score) < 1e-3, `${found.amounts} sum to ${sum}, the score is ${found.score}`);
    const writtenSum = found.written.map(number).reduce((total, amount) => total + amount, 0);
    const rounding = 0.0005 * (found.written.length + 1) + 1e-3;
    check(Math.abs(writtenSum - number(found.shown)) <= rounding, `written: ${found.written} against ${found.shown}`);
    await shot(page, "4-why");
  });

  await step("keys: j moves, s shares", async () => {
    await page.locator("#feed").focus();
    await page.keyboard.press("j");
    const key = await page.evaluate(() => document.activeElement.dataset.item);
    check(key, "no post has the focus");
    const pressed = Date.now();
    await page.keyboard.press("s");
    await accepted(page, key, pressed, "share");
  });

  await step("the topics of what was liked have a weight, and it decays", async () => {
    const value = page.locator(".topic-value").first();
    await value.waitFor({ timeout: WAIT_MS });
    // The newly learned weights come in a `model` message at the next tick but one, at most 2 s later.
    modelCame = Date.now();
    while (Date.now() - modelCame < 3000) await page.waitForTimeout(100);
    const before = await value.textContent();
    // A weight near 1 takes 9 s to lose the last of the six shown digits.
    const changed = page.waitForFunction((old) => document.querySelector(".topic-value").textContent !== old, before, { timeout: 3 * WAIT_MS });
    await changed.catch(() => {}); // Reported below, with figures.
    const after = await value.textContent();
    check(Number(before) > 0 && Number(after) < Number(before) && Number(after) > Number(before) - 0.001, `from ${before} to ${after}`);
  });

  const words = `An eddy came by at ${new Date().toISOString()} <b>and stayed</b>`;
  await step("a post is written, kept and seen as it was written", async () => {
    await page.fill("#composer-text", words);
    await page.keyboard.press("Enter");
    const own = page.locator(".own", { hasText: words });
    const inStream = page.locator(".card:not(.leaving) .text", { hasText: words });
    await own.or(inStream).first().waitFor({ timeout: WAIT_MS });
    await page.locator('.own[data-state="accepted"]').or(inStream).first().waitFor({ timeout: WAIT_MS });
    await still(page);
    await shot(page, "5-posted");
  });

  await step("no reaction moves a card above it or itself, and pressing again takes it back", async () => {
    await settle(page);
    await cards(page).nth(1).hover();
    const had = await cards(page).nth(1).getAttribute("data-reaction");
    if (had) await cards(page).nth(1).locator(`[data-kind=${had}]`).click();
    for (const kind of ["like", "share", "skip", "hide", "accept", "reject"]) {
      const before = await places(page);
      const key = before[1].item;
      if (await byKey(page, key).getAttribute("data-reaction")) throw new Error(`${key} has a reaction before it is pressed`);
      await byKey(page, key).locator(`[data-kind=${kind}]`).click();
      await byKey(page, key, "[data-state=accepted]").waitFor({ timeout: WAIT_MS });
      await still(page);
      const after = await places(page);
      check(same(before.slice(0, 2), after.slice(0, 2)), `${kind}: ${JSON.stringify(before.slice(0, 2))} became ${JSON.stringify(after.slice(0, 2))}`);
      await byKey(page, key).locator(`[data-kind=${kind}]`).click();
      await byKey(page, key, '[data-reaction=""]').waitFor({ timeout: WAIT_MS });
      await page.waitForFunction(() => !/to send/.test(document.querySelector("#line").textContent));
      const again = await places(page);
      check(same(before.slice(0, 2), again.slice(0, 2)), `${kind} undone: ${JSON.stringify(again.slice(0, 2))}`);
    }
    const person = await page.evaluate(() => JSON.parse(sessionStorage.getItem("eddyline.person")).id);
    const [key] = [(await places(page))[1].item];
    await page.waitForTimeout(500);
    for (const list of ["liked", "hidden"]) {
      const { items } = await (await fetch(`${BASE}/v1/users/${encodeURIComponent(person)}/${list}`)).json();
      check(items.every(({ item }) => item !== key), `${list} still lists ${key}`);
    }
  });

  await step("a hidden post keeps its room without its text, can be undone from the toast, and leaves when the reader moves on", async () => {
    const key = await cards(page).nth(1).getAttribute("data-item");
    const card = byKey(page, key);
    const box = await card.boundingBox();
    await card.locator("[data-kind=hide]").click();
    await byKey(page, key, "[data-state=accepted]").waitFor({ timeout: WAIT_MS });
    await still(page);
    check(same(box, await card.boundingBox()), "the hidden post moved");
    check(!(await card.locator(".text").isVisible()), "the text is still there");
    await shot(page, "6-hidden");
    await page.locator("#toast button").click();
    await card.locator(".text").waitFor({ timeout: WAIT_MS });
    await card.locator("[data-kind=hide]").click();
    await byKey(page, key, "[data-state=accepted]").waitFor({ timeout: WAIT_MS });
    await page.locator("#chosen summary").click();
    await page.locator(`#hidden-items li[data-item="${key}"]`).waitFor({ timeout: WAIT_MS });
    await settle(page);
    await card.waitFor({ state: "detached", timeout: WAIT_MS });
  });

  await step("what is hidden is listed, and undone there", async () => {
    const row = page.locator("#hidden-items li").first();
    const key = await row.getAttribute("data-item");
    await row.locator("button").click();
    await page.locator(`#hidden-items li[data-item="${key}"]`).waitFor({ state: "detached", timeout: WAIT_MS });
    await page.locator("#chosen summary").click();
  });

  await step("a second tab shows the heart, and its going", async () => {
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await settle(page);
    const key = await cards(page).first().getAttribute("data-item");
    const heart = page.locator(`.card:not(.leaving)[data-item="${key}"] [data-kind=like]`);
    const there = other.locator(`#liked li[data-item="${key}"]`);
    await heart.click();
    await there.waitFor({ state: "attached", timeout: WAIT_MS });
    const card = other.locator(`.card:not(.leaving)[data-item="${key}"]`);
    if (await card.count()) check((await card.getAttribute("data-reaction")) === "like", "no heart in the second tab");
    await heart.click();
    await there.waitFor({ state: "detached", timeout: WAIT_MS });
    await other.close();
    await page.bringToFront();
  });

  await step("another ranking", async () => {
    await page.locator("input[name=ranking][value=flat]").check({ force: true });
    await page.waitForFunction(() => /Ranked as you asked/.test(document.querySelector("#cause").textContent));
    const times = await page.$$eval(".card:not(.leaving) time", (all) => all.map(({ dateTime }) => dateTime));
    check([...times].sort().reverse().join() === times.join(), "newest is not first");
    await page.locator("input[name=ranking][value=model]").check({ force: true });
    await still(page);
  });

  await step("after a reload it resumes as the same person", async () => {
    const name = await page.textContent("#person-name");
    const version = Number(await versionOf(page));
    hellos.length = 0;
    await page.reload();
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await cards(page).nth(2).waitFor({ timeout: WAIT_MS });
    check((await page.textContent("#person-name")) === name, "another person");
    check(hellos[0]?.resume?.version >= version, `hello said ${JSON.stringify(hellos[0])}, shown was ${version}`);
    await still(page);
    await shot(page, "7-reloaded");
  });

  await step("no complaint in the console", async () => check(troubles.length === 0, troubles.join("\n")));
  await step("no request left the origin", async () => check(strangers.length === 0, strangers.join("\n")));
  await page.context().close();
}

/** Somebody new: what everybody's weights learn from their like, and what others do, comes to the screen by itself. */
async function quiet() {
  const { page } = await newPage({ viewport: { width: 1200, height: 800 } });
  const person = `quiet-${Date.now()}`;
  const ask = async (path, options) => {
    const answer = await fetch(`${BASE}${path}`, options);
    check(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  const send = (method, body) => ({ method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const feed = async () => (await ask(`/v1/users/${person}/feed?limit=30`)).items;
  const onScreen = () => page.$$eval(".card:not(.leaving)", (all) => all.map(({ dataset }) => dataset.item));
  /** Waits until no push has come for a while, and compares. */
  const equal = async () => {
    for (let [version, since] = [null, Date.now()]; Date.now() - since < 3200; await page.waitForTimeout(100)) {
      const now = await versionOf(page);
      if (now !== version) [version, since] = [now, Date.now()];
    }
    await settle(page);
    const [asked, shown] = [(await feed()).map(({ item }) => item), await onScreen()];
    check(asked.join() === shown.join(), `REST says ${asked}, the screen shows ${shown}`);
    return shown;
  };
  await step("quiet: after a first like the screen comes to what REST says", async () => {
    await ask(`/v1/users/${person}`, send("PUT", { name: "Quiet" }));
    await page.goto(`${BASE}/?user=${person}`);
    await cards(page).nth(2).waitFor({ timeout: WAIT_MS });
    await cards(page).nth(2).hover();
    const liked = await cards(page).nth(2).getAttribute("data-item");
    const pressed = Date.now();
    await byKey(page, liked).locator("[data-kind=like]").click();
    await accepted(page, liked, pressed);
    check((await onScreen())[2] === liked, "the liked post left its place");
    await settle(page);
    await equal();
  });
  await step("quiet: while a pointer rests on the stream nothing moves, and what is new waits behind a button", async () => {
    const { items } = await ask("/v1/items?limit=1");
    await cards(page).nth(1).hover();
    const before = await places(page);
    const topics = items[0].topics;
    const author = (await ask("/v1/users?limit=1")).users[0].id;
    for (const n of [1, 2, 3]) await ask("/v1/items", send("POST", { text: `Quiet waters ${n} ${person}`, author, topics }));
    await page.locator("input[name=ranking][value=flat]").check({ force: true });
    await settle(page);
    await cards(page).nth(1).hover();
    const still1 = await places(page);
    await ask("/v1/items", send("POST", { text: `Still waters ${person}`, author, topics }));
    await page.locator("#fresh", { hasText: /\d new/ }).waitFor({ timeout: WAIT_MS });
    check(same(still1.slice(0, 3), (await places(page)).slice(0, 3)), "cards moved under the pointer");
    await shot(page, "7-fresh");
    await page.locator("#fresh").click();
    await page.locator(".card:not(.leaving) .text", { hasText: `Still waters ${person}` }).waitFor({ timeout: WAIT_MS });
    check(before.length > 0, "no card was on screen");
    await page.locator("input[name=ranking][value=model]").check({ force: true });
    await settle(page);
  });
  await step("quiet: what others do comes to the screen, and says so", async () => {
    const { items } = await ask("/v1/items?limit=1000");
    const shown = new Set(await onScreen());
    const wanted = items.filter(({ id }) => !shown.has(id)).map(({ id }) => id)[0] ?? [...shown].at(-1);
    const { users } = await ask("/v1/users?limit=50");
    const version = await versionOf(page);
    const acts = users.filter(({ id }) => id !== person).flatMap(({ id: user }) => [1, 2, 3].map(() => ({ user, item: wanted, kind: "click" })));
    await ask("/v1/interactions", send("POST", acts));
    await page.waitForFunction((old) => document.querySelector("#feed").dataset.version !== old, version, { timeout: WAIT_MS });
    await page.waitForFunction(() => /others did/.test(document.querySelector("#cause").textContent), null, { timeout: WAIT_MS });
    await equal();
    await shot(page, "7-quiet");
  });
  await step("the curves have the horizon of the server, and few answers have no figure", async () => {
    const { decay, positives, negatives } = await ask(`/v1/users/${person}/model`);
    const { span } = await import("../../static/js/model.js");
    const hint = await page.textContent("#topics-hint");
    check(hint.includes(`The curve shows the next ${span(decay.horizon_ms)}.`), `${hint} for ${JSON.stringify(decay)}`);
    check((await page.textContent("#auc")) === "\u2013", `AUC ${await page.textContent("#auc")} of ${positives} and ${negatives}`);
    check((await page.textContent("#auc-note")).includes(`so far ${positives} and ${negatives}`), await page.textContent("#auc-note"));
  });
  await step("why: likely is what the server says, and nothing where it says nothing", async () => {
    const [first] = await feed();
    await byKey(page, first.item).locator(".why-toggle").click();
    const words = await byKey(page, first.item).locator(".why-table tfoot th").textContent();
    // The page's probability is from when the item came or moved.
    const shown = Number(/(\d+) %/.exec(words)?.[1]);
    const fits = first.likely === undefined ? words === "Score" : Math.abs(shown - 100 * first.likely) <= 2;
    check(fits, `${words}, likely ${first.likely}, score ${first.score}`);
  });
  await page.context().close();
}

/** The line drops while somebody reacts: it comes back by itself, and the reaction is kept. */
async function droppedLine() {
  const { page } = await newPage({ viewport: { width: 1200, height: 800 } });
  const lines = [];
  let broken = false;
  await page.routeWebSocket(/\/ws$/, (line) => {
    if (broken) return void line.close();
    lines.push(line);
    line.connectToServer();
  });
  await step("a dropped line comes back, and a reaction made meanwhile is kept", async () => {
    await page.goto(BASE);
    await page.locator("#people-list button").nth(1).click();
    await cards(page).nth(2).waitFor({ timeout: WAIT_MS });
    await page.locator("#liked[data-read]").waitFor({ state: "attached", timeout: WAIT_MS });
    broken = true;
    await lines.at(-1).close();
    await page.locator("#line:not([data-state=online])").waitFor({ timeout: WAIT_MS });
    const key = await page.locator('.card:not(.leaving)[data-reaction=""]').nth(1).getAttribute("data-item");
    const pressed = Date.now();
    await byKey(page, key).locator("[data-kind=like]").click();
    await byKey(page, key, "[data-state=pending]").waitFor({ timeout: WAIT_MS });
    await shot(page, "8-dropped");
    broken = false;
    await page.locator("#line[data-state=online]").waitFor({ timeout: 3 * WAIT_MS });
    await accepted(page, key, pressed);
  });
  await page.context().close();
}

/**
 * A reaction that was pressed at `since` was accepted: the card says so, or what was learned ranked the post away before it
 * could. Either way the server must have kept it, as this person's, and once.
 */
async function accepted(page, key, since, reaction = "like") {
  await page.waitForFunction(
    ([item, reaction]) => {
      const card = document.querySelector(`.card[data-item="${CSS.escape(item)}"]`);
      if (card === null) return /Re-ranked/.test(document.querySelector("#cause").textContent);
      return card.dataset.reaction === reaction && card.dataset.state === "accepted";
    },
    [key, reaction],
    { timeout: WAIT_MS },
  );
  const person = await page.evaluate(() => JSON.parse(sessionStorage.getItem("eddyline.person")).id);
  const answer = await fetch(`${BASE}/user/${encodeURIComponent(person)}/feed/?limit=100`);
  check(answer.ok, `what ${person} did could not be read: ${answer.status}`);
  const { interactions } = await answer.json();
  const kept = interactions.filter(({ item, kind, received }) => item === key && kind === reaction && received >= since);
  check(kept.length === 1, `${person}: one ${reaction} of ${key}, the server kept ${kept.length}`);
}

async function phone() {
  const { page } = await newPage({
    viewport: { width: 380, height: 780 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
    colorScheme: "dark",
  });
  await step("a phone: nothing is wider than the screen", async () => {
    await page.goto(BASE);
    await page.locator("#people-list button").first().click();
    await cards(page).first().waitFor({ timeout: WAIT_MS });
    await page.locator("#liked[data-read]").waitFor({ state: "attached", timeout: WAIT_MS });
    await page.locator('.card:not(.leaving)[data-reaction=""]').nth(1).locator("[data-kind=like]").click();
    await page.waitForFunction(() => /Re-ranked/.test(document.querySelector("#cause").textContent));
    await still(page);
    await shot(page, "9-phone");
    for (const view of ["stream", "taste"]) {
      await page.locator(`[data-view-button=${view}]`).click();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      check(width <= 380, `${view} is ${width} wide`);
    }
    await shot(page, "10-phone-taste");
  });
  await page.context().close();
}

/** Figures, experts and drawings; the way of a token; a phone. */
async function admin() {
  const { page, troubles, strangers } = await newPage({ viewport: { width: 1320, height: 1000 } });
  const figure = (name) => page.locator(".tile").filter({ has: page.getByText(name, { exact: true }) }).locator(".tile-value");
  await step("admin: figures are shown, and go on", async () => {
    let asked = 0;
    page.on("response", (answer) => (asked += answer.url().endsWith("/v1/figures") && answer.ok() ? 1 : 0));
    await page.goto(`${BASE}/admin`);
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await page.waitForFunction(() => /^[1-9]/.test([...document.querySelectorAll(".tile-value")][5].textContent), null, { timeout: WAIT_MS });
    check(/MiB|GiB/.test(await figure("Memory").textContent()), "no word of memory");
    const deadline = Date.now() + 3 * WAIT_MS;
    while (asked < 3 && Date.now() < deadline) await page.waitForTimeout(100);
    check(asked >= 3, `asked ${asked} times`);
    await shot(page, "11-admin");
  });
  await step("admin: the experts are ranked by their loss, and what was served is among them", async () => {
    await page.locator(".bar-row").nth(3).waitFor({ timeout: WAIT_MS });
    const losses = await page.$$eval(".bar-row .number", (all) => all.map(({ textContent }) => Number(textContent)));
    check(losses.length >= 12 && losses.every((loss) => loss > 0), `losses ${losses}`);
    check([...losses].sort((left, right) => left - right).join() === losses.join(), `not in order: ${losses}`);
    check((await page.locator(".bar-row.best").count()) === 1, "no best one");
    check(await page.locator("#regret svg").isVisible(), "no drawing of the regret");
  });
  await step("admin: every board says something or that it is not available", async () => {
    const said = () => page.$$eval(".board", (all) => all.map((board) => `${board.querySelector("h2").textContent}: ${[...board.querySelectorAll("p, dd")].filter((one) => one.offsetParent).map(({ textContent }) => textContent).join(" ").trim()}`));
    const deadline = Date.now() + WAIT_MS;
    while ((await said()).some((words) => words.endsWith(": ")) && Date.now() < deadline) await page.waitForTimeout(100);
    const silent = (await said()).filter((words) => words.endsWith(": "));
    check(silent.length === 0, silent.join("\n"));
  });
  await step("admin: arrow keys change the clustering, and a cluster takes a name", async () => {
    const tabs = page.getByRole("tab");
    await tabs.first().focus();
    await page.keyboard.press("End");
    await page.keyboard.press("Home");
    check((await page.locator("[role=tab][aria-selected=true]").textContent()) === "default", "the first tab is not chosen");
    const number = await page.locator("#clusters-table [data-cluster]").first().getAttribute("data-cluster");
    const cluster = page.locator(`#clusters-table [data-cluster="${number}"]`);
    const type = async (name) => {
      await cluster.click();
      await page.keyboard.press("ControlOrMeta+a");
      await page.keyboard.press("Delete");
      if (name) await page.keyboard.type(name);
      await page.keyboard.press("Enter");
      await page.waitForFunction(([id, text]) => document.querySelector(`#clusters-table [data-cluster="${id}"]`)?.textContent === text, [number, name || number], { timeout: WAIT_MS });
    };
    await type("night readers");
    check((await page.locator("#clusters-picture .name").allTextContents()).includes("night readers"), "the picture lacks the name");
    await type("");
  });
  await step("admin: the form of settings refuses a word for a number, and Escape leaves it", async () => {
    await page.locator("#clusterings-change").click();
    const field = page.locator('[id="clustering-dialog-components"]');
    await field.fill("many");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "clustering-dialog-components", null, { timeout: WAIT_MS });
    check((await field.getAttribute("aria-invalid")) === "true", "the field is not marked");
    await page.waitForTimeout(2500);
    check((await field.inputValue()) === "many", "polling has overwritten the form");
    await page.keyboard.press("Escape");
    check(!(await page.locator("#clustering-dialog").isVisible()), "the form is still open");
  });
  await step("admin: paused, nothing is asked", async () => {
    await page.locator("#pause").click();
    await page.waitForTimeout(500);
    let asked = 0;
    page.on("request", () => (asked += 1));
    await page.waitForTimeout(4500);
    check(asked === 0, `asked ${asked} times`);
    await page.locator("#pause").click();
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
  });
  await step("admin: no complaint in the console, and no request left the origin", async () => {
    check(troubles.length === 0, troubles.join("\n"));
    check(strangers.length === 0, strangers.join("\n"));
  });
  await step("admin: where a token is wanted, it is asked for and sent", async () => {
    let sent = null;
    await page.route("**/v1/figures", (route) => {
      sent = route.request().headers().authorization ?? null;
      if (sent === "Bearer the-token") return route.continue();
      return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ detail: "a token is needed" }) });
    });
    await page.reload();
    await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
    check(sent === null, `sent ${sent} before it was given one`);
    await page.fill("#token", "the-token");
    await page.keyboard.press("Enter");
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await page.waitForFunction(() => document.querySelector("#token-form").hidden);
    check(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("the-token"), "it is kept beyond the tab");
  });
  await page.context().close();

  const small = await newPage({ viewport: { width: 380, height: 780 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await step("admin on a phone: nothing is wider than the screen", async () => {
    await small.page.goto(`${BASE}/admin`);
    await small.page.locator(".bar-row").first().waitFor({ timeout: WAIT_MS });
    const width = await small.page.evaluate(() => document.documentElement.scrollWidth);
    check(width <= 380, `it is ${width} wide`);
    await shot(small.page, "12-admin-phone");
  });
  await small.page.context().close();
}

/** One post accepted by keys, its figures before and after, the curves, and a phone. */
async function judging() {
  const { page, troubles, strangers } = await newPage({ viewport: { width: 1200, height: 800 } });
  const person = `judge-${Date.now()}`;
  const json = { "content-type": "application/json", accept: "application/json" };
  await fetch(`${BASE}/v1/users/${person}`, { method: "PUT", headers: json, body: "{}" });
  const address = `/prediction/1?user=${person}`;
  await step("judging: a post is accepted by keys, and the figures before and after are the server's", async () => {
    await page.goto(BASE + address);
    await page.locator("#answers:not([disabled])").waitFor({ timeout: WAIT_MS });
    await page.keyboard.press("a");
    await page.keyboard.press("Enter");
    await page.locator("#change tbody tr").nth(3).waitFor({ timeout: WAIT_MS });
    const shown = Number(await page.locator("#likely [data-share]").first().getAttribute("data-share"));
    const { now } = await (await fetch(BASE + address, { headers: json })).json();
    check(Math.abs(shown - now.accepted) < 1e-6, `shown ${shown}, the server says ${now.accepted}`);
    check(/^\+/.test(await page.locator("#change tbody tr").first().locator("td").nth(2).textContent()), "accepting made it less likely");
    await shot(page, "13-judging");
    await page.keyboard.press("Enter");
    await page.waitForURL(/prediction\/2\?user=judge/, { timeout: WAIT_MS });
  });
  await step("judging: the curves come by themselves after a label of the other kind", async () => {
    await page.goto(`${BASE}/score?user=${person}`);
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    check((await page.locator("#roc .roc-curve").count()) === 0, "a curve of one label");
    await fetch(`${BASE}/prediction/2?user=${person}`, { method: "POST", headers: json, body: JSON.stringify({ label: "rejected" }) });
    await page.waitForFunction(() => document.querySelectorAll("#roc .roc-curve").length === 3, null, { timeout: WAIT_MS });
    await shot(page, "14-score");
  });
  await step("judging: no complaint in the console, and no request left the origin", async () => {
    check(troubles.length === 0, troubles.join("\n"));
    check(strangers.length === 0, strangers.join("\n"));
  });
  await step("judging: a post that is not there is named, and a token is asked for", async () => {
    await page.goto(`${BASE}/prediction/99999999?user=${person}`);
    await page.getByText("there is no post 99999999").waitFor({ timeout: WAIT_MS });
    await page.route("**/prediction/*", (route) => {
      const headers = route.request().headers();
      if (!headers.accept?.includes("application/json") || headers.authorization === "Bearer the-token") return route.continue();
      return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ detail: "a token is needed" }) });
    });
    await page.goto(BASE + address);
    await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
    await page.fill("#token", "the-token");
    await page.keyboard.press("Enter");
    await page.locator("#answers:not([disabled])").waitFor({ timeout: WAIT_MS });
    check(await page.locator("#token-form").isHidden(), "the form for a token stays");
  });
  await page.context().close();

  const small = await newPage({ viewport: { width: 380, height: 780 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await step("judging on a phone: nothing is wider than the screen", async () => {
    for (const [path, there] of [[address, "#answers:not([disabled])"], [`/score?user=${person}`, "#roc .roc-curve"]]) {
      await small.page.goto(BASE + path);
      await small.page.locator(there).first().waitFor({ timeout: WAIT_MS, state: "attached" });
      const width = await small.page.evaluate(() => document.documentElement.scrollWidth);
      check(width <= 380, `${path} is ${width} wide`);
    }
  });
  await small.page.context().close();
}

/** The sample site: a visit by keys, its figures, a token, and a phone. */
async function examples() {
  const { page, troubles, strangers } = await newPage({ viewport: { width: 1200, height: 800 } });
  const person = `visitor-${Date.now()}`;
  const visits = (name) => page.locator(`#figures tr[data-page=${name}] td`).first().textContent();
  await step("examples: a visitor is made and measured by keys, and the figures are the server's", async () => {
    await page.goto(`${BASE}/examples/pages`);
    await page.keyboard.type(person);
    await page.keyboard.press("Enter");
    await page.locator("#make").waitFor({ timeout: WAIT_MS });
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    await page.locator("#pages a").nth(1).focus();
    await page.waitForTimeout(400);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#figures tr[data-page=A] td")?.textContent === "1", null, { timeout: WAIT_MS });
    check((await page.textContent("#page-title")) === "Page B", "Enter on the link did not open page B");
    const { metrics } = await (await fetch(`${BASE}/v1/users/${person}/metrics`)).json();
    const post = metrics.find(({ name, type }) => name === "time_spent" && type === "post");
    check(post.count === 1 && post.value >= 0.3 && post.value < 20, `the server has ${JSON.stringify(post)}`);
    check(/ypical/.test(await page.textContent("#verdict")), "no verdict");
    await shot(page, "15-examples");
  });
  await step("examples: a visit ends when the page is left", async () => {
    await page.waitForTimeout(400);
    await page.goto(`${BASE}/examples/pages#c`);
    await page.goto(`${BASE}/score`);
    await page.goto(`${BASE}/examples/pages`);
    await page.waitForFunction(() => document.querySelector("#figures tr[data-page=B] td")?.textContent === "1", null, { timeout: WAIT_MS });
    check((await visits("D")) === "0", "a page that was never open has a visit");
  });
  await step("examples: no inline code, no complaint in the console, and no request left the origin", async () => {
    // The server refuses an unknown user on purpose, and the browser logs the answer.
    const real = troubles.filter((words) => !words.includes("404"));
    check(real.length === 0, real.join("\n"));
    check(strangers.length === 0, strangers.join("\n"));
    const inline = await page.locator("script:not([src]), [style], [onclick]").count();
    check(inline === 0, `${inline} inline pieces`);
  });
  await step("examples: a token is asked for, and used", async () => {
    await page.route("**/v1/**", (route) => {
      if (route.request().headers().authorization === "Bearer the-token") return route.continue();
      return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ detail: "a token is needed" }) });
    });
    await page.goto(`${BASE}/examples/pages?user=${person}`);
    await page.locator("#token-form").waitFor({ timeout: WAIT_MS });
    await page.fill("#token", "the-token");
    await page.keyboard.press("Enter");
    await page.locator("#line[data-state=online]").waitFor({ timeout: WAIT_MS });
    check(await page.locator("#token-form").isHidden(), "the form for a token stays");
  });
  await page.context().close();

  const small = await newPage({ viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
  await step("examples on a phone: nothing is wider than the screen", async () => {
    await small.page.goto(`${BASE}/examples/pages?user=${person}`);
    await small.page.locator("#figures tbody tr").nth(10).waitFor({ timeout: WAIT_MS });
    const width = await small.page.evaluate(() => document.documentElement.scrollWidth);
    check(width <= 360, `it is ${width} wide`);
    await shot(small.page, "16-examples-phone");
  });
  await small.page.context().close();
}

async function newPage(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const [troubles, strangers] = [[], []];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => troubles.push(String(error)));
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== BASE && protocol !== "data:") strangers.push(request.url());
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== new URL(BASE).host) strangers.push(socket.url());
  });
  return { page, troubles, strangers };
}

function cards(page) {
  return page.locator(".card:not(.leaving)");
}

/** Moves the pointer off the stream, and brings the cards into the order of the stream. */
async function settle(page) {
  await page.mouse.move(5, 5);
  await page.evaluate(() => document.activeElement?.blur());
  // It may go by itself between the look and the click.
  if (await page.locator("#fresh").isVisible()) await page.locator("#fresh").click({ timeout: 1000 }).catch(() => {});
  await page.mouse.move(5, 5);
  await still(page);
}

/** The cards on screen: item and the pixel of the upper edge. */
function places(page) {
  return page.$$eval(".card:not(.leaving)", (all) => all.map((card) => ({ item: card.dataset.item, top: Math.round(card.getBoundingClientRect().top) })));
}

function same(left, right) {
  return JSON.stringify(left) === JSON.stringify(right);
}

function byKey(page, key, more = "") {
  return page.locator(`.card[data-item=${JSON.stringify(key)}]${more}`);
}

function versionOf(page) {
  return page.locator("#feed").getAttribute("data-version");
}

/** Waits for the cards to stop moving. */
async function still(page) {
  await page.waitForTimeout(150);
  await page.waitForFunction(() => document.querySelector("#feed").getAnimations({ subtree: true }).length === 0);
}
