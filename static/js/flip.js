// Animates the moves of child elements.
//
// First, Last, Invert, Play: measures, changes, offsets each child by its difference, and animates the offset to zero.

const DURATION_MS = 420;
export const TOP_PIXELS = 40;
const EASING = "cubic-bezier(.2, .8, .2, 1)";

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Brings `container` into the order of `wanted`, with animation. Removed nodes fade out in place. With `top`, the
 * position of `scroller` stays as it is; else the child `hold` keeps its place on screen, if there is one.
 */
export function reorder(container, wanted, { scroller = null, top = false, hold = null } = {}) {
  const staying = new Set(wanted);
  const present = [...container.children].filter((child) => !child.classList.contains("leaving"));
  const before = new Map(present.map((child) => [child, child.getBoundingClientRect()]));
  const scrolledBefore = scroller?.scrollTop ?? 0;
  const focused = container.contains(document.activeElement) ? document.activeElement : null;

  for (const child of present) if (!staying.has(child)) leave(container, child);
  place(container, wanted);
  if (focused && document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });

  if (scroller && !top) {
    const held = hold ?? (focused?.matches(":focus-visible") ? wanted.find((child) => child.contains(focused)) : null);
    if (held) keepSight(scroller, [held], before);
    // At the top of the page, new posts must stay visible.
    else if (scrolledBefore >= TOP_PIXELS) keepSight(scroller, wanted, before);
  }
  if (calm() || document.hidden) return;
  // Ends running animations, then measures: `before` contains their offsets, so no card jumps.
  for (const child of wanted) for (const running of child.getAnimations()) if (running.id === "glide") running.cancel();
  const distances = wanted.map((child) => before.has(child) && before.get(child).top - child.getBoundingClientRect().top);
  wanted.forEach((child, index) => {
    const distance = distances[index];
    if (distance === false) appear(child);
    else if (Math.abs(distance) >= 1) glide(child, distance);
  });
}

function appear(child) {
  const from = { opacity: 0, transform: "scale(.97)" };
  child.animate([from, { opacity: 1, transform: "none" }], { duration: DURATION_MS, easing: EASING });
}

function glide(child, distance) {
  const from = { transform: `translateY(${distance}px)` };
  child.animate([from, { transform: "none" }], { id: "glide", duration: DURATION_MS, easing: EASING });
}

function place(container, wanted) {
  let next = [...container.children].find((child) => !child.classList.contains("leaving")) ?? null;
  for (const child of wanted) {
    if (child === next) {
      next = following(next);
    } else if (child.parentNode === container && container.moveBefore) {
      container.moveBefore(child, next); // keeps focus and running animations
    } else {
      container.insertBefore(child, next);
    }
  }
}

function following(child) {
  let next = child.nextElementSibling;
  while (next?.classList.contains("leaving")) next = next.nextElementSibling;
  return next;
}

function leave(container, child) {
  if (calm() || document.hidden) {
    child.remove();
    return;
  }
  // Leaves the flow, so that other cards can close the gap during the fade.
  const { offsetTop, offsetLeft, offsetWidth } = child;
  child.classList.add("leaving");
  child.inert = true;
  Object.assign(child.style, { top: `${offsetTop}px`, left: `${offsetLeft}px`, width: `${offsetWidth}px` });
  const fade = child.animate([{ opacity: 1 }, { opacity: 0, transform: "translateX(24px) scale(.98)" }], {
    duration: 260,
    easing: "ease-in",
    fill: "forwards",
  });
  fade.onfinish = () => child.remove();
  fade.oncancel = () => child.remove();
}

/**
 * Scrolls along if most visible cards moved by one distance, so that a reader keeps the place. With keyboard focus, the
 * focused post keeps its place instead.
 */
function keepSight(scroller, children, before) {
  const frame = scroller.getBoundingClientRect();
  const shifts = children
    .filter((child) => {
      const old = before.get(child);
      return old && old.bottom > frame.top && old.top < frame.bottom;
    })
    .map((child) => child.getBoundingClientRect().top - before.get(child).top)
    .sort((left, right) => left - right);
  const shift = shifts[Math.floor(shifts.length / 2)] ?? 0;
  if (Math.abs(shift) >= 1) scroller.scrollTop += shift;
}
