// Keyboard shortcuts of one key for the stream.
//
// Users can switch them off: speech input types letters, and must not hide posts.

import { ACTIONS } from "./card.js";
import { recall, remember } from "./storage.js";

const KINDS = new Map(ACTIONS.map(({ kind, key }) => [key, kind]));

/** Binds the keys to `commands`: `step(by)`, `act(kind)`, `undo()`, `why()`, `write()`, `people()`. */
export function listen({ help, toggle, open, close }, commands) {
  toggle.checked = recall("keys", "localStorage") ?? true;
  toggle.addEventListener("change", () => remember("keys", toggle.checked, "localStorage"));
  open.addEventListener("click", () => help.showModal());
  close.addEventListener("click", () => help.close());

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.closest("form")) event.target.blur();
    if (document.querySelector("dialog[open]") || writes(event.target)) return;
    if (event.key === "?") {
      event.preventDefault();
      help.showModal();
      return;
    }
    if (!toggle.checked) return;
    const command = commandOf(event.key, commands);
    if (!command) return;
    event.preventDefault();
    command();
  });
}

function commandOf(key, commands) {
  if (KINDS.has(key)) return () => commands.act(KINDS.get(key));
  return {
    j: () => commands.step(1),
    k: () => commands.step(-1),
    u: commands.undo,
    w: commands.why,
    c: commands.write,
    p: commands.people,
  }[key];
}

function writes(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
