// What the browser remembers. Per tab unless said otherwise, so that two tabs can be two people.
//
// Invariant: forgetting is never an error: storage may be full, switched off, or hold something old.

/** What was saved under `name`, or null. */
export function recall(name, area = "sessionStorage") {
  try {
    return JSON.parse(globalThis[area].getItem(`eddyline.${name}`));
  } catch {
    return null;
  }
}

export function remember(name, value, area = "sessionStorage") {
  try {
    globalThis[area].setItem(`eddyline.${name}`, JSON.stringify(value));
  } catch {
    // Only a reload will miss it.
  }
}
