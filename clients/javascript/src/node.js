// The client for Node.js: sockets by the package `ws`, and storage in a file.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import WebSocket from "ws";
import { Eddyline as Browser } from "./client.js";

/** @import { ClientOptions } from "./client.js" */

export * from "./index.js";

/** A client of one server. */
export class Eddyline extends Browser {
  /** @param {string | URL} url of the server, such as `https://feeds.example` @param {ClientOptions} [options] */
  constructor(url, options = {}) {
    super(url, { makeSocket: (address, protocols) => new WebSocket(address, protocols), ...options });
  }
}

/** Storage in a JSON file. Each change replaces the file as a whole, so that a crash leaves the old or the new one. */
export class FileStorage {
  #path;
  /** @type {Record<string, string>} */
  #texts;

  /** @param {string} path of the file, made when absent */
  constructor(path) {
    this.#path = path;
    try {
      this.#texts = JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code !== "ENOENT") throw error;
      this.#texts = {};
    }
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
