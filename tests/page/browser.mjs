// What all walks in a real browser share: the browser, steps that are counted, and screenshots.
//
// `--playwright DIR` is where `playwright-core` is installed (or is found through NODE_PATH); nothing is installed here.
// CHROMIUM names the browser, /usr/bin/chromium when absent; EDDYLINE_SHOTS is a folder for screenshots.

import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join, resolve } from "node:path";

const SHOTS = process.env.EDDYLINE_SHOTS;

let passed = 0;
let failed = 0;

/** Runs one step; a failure is printed, and the walk goes on. */
export async function step(name, action) {
  try {
    await action();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error.message ?? error).split("\n").slice(0, 4).join("\n        ")}`);
  }
}

export function check(condition, words) {
  if (!condition) throw new Error(words);
}

/** Runs a walk in a browser, prints `N passed, M failed`, and ends the program: with 1 when M is not 0. */
export async function run(walk, end = () => {}) {
  const browser = await playwright().chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  try {
    await walk(browser);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  the walk broke off: ${error.stack ?? error}`);
  } finally {
    await browser.close();
    await end();
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

export async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

function playwright() {
  const at = process.argv.indexOf("--playwright");
  const places = [at > 0 && process.argv[at + 1], ...(process.env.NODE_PATH ?? "").split(delimiter)].filter(Boolean);
  for (const place of places) {
    for (const from of [resolve(place, "walk.js"), resolve(place, "..", "walk.js")]) {
      try {
        return createRequire(from)("playwright-core");
      } catch {
        // Perhaps in the next place.
      }
    }
  }
  console.error("playwright-core was not found: give its directory by --playwright DIR or NODE_PATH");
  process.exit(2);
}
