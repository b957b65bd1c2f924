// Applies a patch of the server to a list of items.
//
// Invariant: pure. The input list stays unchanged; in the output list `position` is the index. A patch that does not
// fit is refused as a whole, so that the caller can request the whole feed instead.

/** @import { FeedItem, Step } from "./types.js" */

/** A patch that does not fit the list. */
export class PatchError extends Error {
  name = "PatchError";
}

/**
 * The items after all operations in order. Throws `PatchError` if an operation does not fit.
 * @param {FeedItem[]} items @param {Step[]} operations
 */
export function applyOperations(items, operations) {
  const list = [...items];
  for (const operation of operations) step(list, operation);
  return numbered(list);
}

/**
 * The items with their index as `position`; items that have it already are not copied.
 * @param {FeedItem[]} items
 */
export function numbered(items) {
  return items.map((item, position) => (item.position === position ? item : { ...item, position }));
}

/** @param {FeedItem[]} list @param {Step} operation */
function step(list, operation) {
  switch (operation.op) {
    case "remove":
      list.splice(placeOf(list, operation.item), 1);
      return;
    case "move": {
      const [item] = list.splice(placeOf(list, operation.item), 1);
      if (item) insert(list, item, operation.position);
      return;
    }
    case "insert":
      if (list.some(({ item }) => item === operation.item.item)) {
        throw new PatchError(`insert of ${operation.item.item}, which is already there`);
      }
      insert(list, operation.item, operation.item.position);
      return;
    case "update":
      list[placeOf(list, operation.item.item)] = operation.item;
      return;
    default:
      throw new PatchError(`unknown operation ${/** @type {any} */ (operation).op}`);
  }
}

/** @param {FeedItem[]} list @param {string} key */
function placeOf(list, key) {
  const place = list.findIndex(({ item }) => item === key);
  if (place < 0) throw new PatchError(`no item ${key}`);
  return place;
}

/** @param {FeedItem[]} list @param {FeedItem} item @param {number} position */
function insert(list, item, position) {
  // `splice` would clamp silently, and the list would differ from the server's from then on.
  if (!Number.isInteger(position) || position < 0 || position > list.length) {
    throw new PatchError(`position ${position} in a list of ${list.length}`);
  }
  list.splice(position, 0, item);
}
