// Starts a real server for a test. EDDYLINE names the program, `target/debug/eddyline` by default.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.EDDYLINE ?? fileURLToPath(new URL("../../../target/debug/eddyline", import.meta.url));

/** A server with a store of its own, which can stop and start again on its port. */
export class Server {
  #folder = mkdtempSync(join(tmpdir(), "eddyline-client-"));
  #secret;
  #env;
  #child = null;
  #port = 0;

  /** @param {{secret?: string, env?: Record<string, string>}} [options] */
  constructor({ secret, env = {} } = {}) {
    this.#secret = secret;
    this.#env = env;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start() {
    const given = ["serve", "--listen", `127.0.0.1:${this.#port}`, "--store", `file:${this.#folder}`];
    const env = { ...process.env, ...this.#env, EDDYLINE_SECRET: this.#secret ?? "" };
    if (!this.#secret) delete env.EDDYLINE_SECRET;
    const child = spawn(PROGRAM, given, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let log = "";
    child.stderr.on("data", (part) => (log = (log + part).slice(-4000)));
    await new Promise((resolve, reject) => {
      createInterface(child.stdout).on("line", (line) => {
        const found = /^listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
        if (found) resolve((this.#port = Number(found[1])));
      });
      child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
      child.on("error", reject);
    });
    return this;
  }

  /** Stops the server: with SIGTERM it says `bye`, with SIGKILL nothing. */
  async stop(signal = "SIGTERM") {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    child.removeAllListeners("exit");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async end() {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
