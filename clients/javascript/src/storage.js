// JSON in a storage for text.
//
// Invariant: a storage failure is never an error of the session: storage may be full, disabled, or hold an old format.

/** @import { TextStorage } from "./types.js" */

/** Storage for the lifetime of the process. */
export class MemoryStorage {
  /** @type {Map<string, string>} */
  #texts = new Map();

  /** @param {string} name */
  getItem(name) {
    return this.#texts.get(name) ?? null;
  }

  /** @param {string} name @param {string} text */
  setItem(name, text) {
    this.#texts.set(name, text);
  }
}

/**
 * The value stored under a name, or null.
 * @param {TextStorage} storage @param {string} name @returns {any}
 */
export function recall(storage, name) {
  try {
    return JSON.parse(storage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/**
 * Stores a value; false if the storage refuses it.
 * @param {TextStorage} storage @param {string} name @param {unknown} value
 */
export function remember(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
