// The client for Node.js: sockets by the package `ws`, and storage in a file.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { webcrypto } from "node:crypto";
import WebSocket from "ws";
import { Eddyline as Browser } from "./client.js";

/** @import { ClientOptions } from "./client.js" */

export * from "./index.js";

// Node.js 18 has no global `crypto`, which ids of events need.
if (!globalThis.crypto) Object.defineProperty(globalThis, "crypto", { value: webcrypto });

/** A client of one server. */
export class Eddyline extends Browser {
  /** @param {string | URL} url of the server, such as `https://feeds.example` @param {ClientOptions} [options] */
  constructor(url, options = {}) {
    super(url, { makeSocket: (address, protocols) => new WebSocket(address, protocols), ...options });
  }
}

/**
 * Storage in a JSON file. Each change replaces the file as a whole, so that a crash leaves the old or the new one. A file that
 * holds something else is renamed to `….bad`, with a warning, and the storage begins empty.
 */
export class FileStorage {
  #path;
  /** @type {Record<string, string>} */
  #texts;

  /** @param {string} path of the file, made when absent */
  constructor(path) {
    this.#path = path;
    this.#texts = existsSync(path) ? read(path) : {};
  }

  /** @param {string} name */
  getItem(name) {
    return this.#texts[name] ?? null;
  }

  /** @param {string} name @param {string} text */
  setItem(name, text) {
    this.#texts[name] = text;
    writeFileSync(`${this.#path}.new`, JSON.stringify(this.#texts));
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** @param {string} path @returns {Record<string, string>} */
function read(path) {
  const text = readFileSync(path, "utf8");
  try {
    const texts = JSON.parse(text);
    if (texts && typeof texts === "object" && !Array.isArray(texts) && Object.values(texts).every((one) => typeof one === "string")) return texts;
  } catch {
    // No JSON: set aside below.
  }
  renameSync(path, `${path}.bad`);
  process.emitWarning(`${path} is no storage of Eddyline: it is now ${path}.bad, and the storage begins empty`);
  return {};
}
