// Storage in the browser. Per tab unless stated otherwise, so that two tabs can be two users.
//
// Invariant: a storage failure is never an error of the page: storage may be full, disabled, or hold an old format.

/** The value saved under `name`, or null. */
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
    // Only a reload will lack it.
  }
}
