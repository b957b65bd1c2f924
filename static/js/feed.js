// The stream on screen: cards in order, with animated moves.
//
// Invariant: each item has one card. `onDrawn` runs after the browser has painted the newest stream, not before.

import { Card } from "./card.js";
import { reorder } from "./flip.js";

export class Feed {
  #list;
  #scroller;
  #more;
  #empty;
  #cards = new Map();
  #options;
  #session = null;
  #waiting = [];
  #planned = false;
  #current = null;

  /** `onAction(item, kind)`, `onDrawn(visible)`, `onSight(visible)`, `onMore()`, `nameOf(person)`. */
  constructor({ list, scroller, more, empty }, options) {
    this.#list = list;
    this.#scroller = scroller;
    this.#more = more;
    this.#empty = empty;
    this.#options = options;
    more.addEventListener("click", () => options.onMore());
    list.addEventListener("focusin", ({ target }) => this.#mark(target.closest(".card")));
    let rest = 0;
    const scrolled = () => {
      clearTimeout(rest);
      rest = setTimeout(() => options.onSight(this.visible()), 300);
    };
    scroller.addEventListener("scroll", scrolled, { passive: true });
  }

  /** Clears the stream for another user. */
  clear() {
    this.#cards.clear();
    this.#list.replaceChildren();
    this.#current = null;
    this.#scroller.scrollTop = 0;
  }

  /** Draws the session's stream at the next frame; calls before it are merged. */
  show(session, onPainted = () => {}) {
    this.#session = session;
    this.#waiting.push(onPainted);
    if (this.#planned) return;
    this.#planned = true;
    const draw = () => {
      this.#planned = false;
      const painted = this.#waiting.splice(0);
      const shifts = this.#draw();
      // The task after a frame runs after that frame is painted.
      setTimeout(() => {
        this.#options.onDrawn(this.visible());
        for (const tell of painted) tell(shifts);
      });
    };
    // A hidden page gets no frames, and the server drops clients without acknowledgements.
    if (document.hidden) setTimeout(draw);
    else requestAnimationFrame(draw);
  }

  /** The visible items, from the top. */
  visible() {
    if (document.hidden) return [];
    const frame = this.#scroller.getBoundingClientRect();
    return this.#shown()
      .filter(({ node }) => {
        const { top, bottom, height } = node.getBoundingClientRect();
        return height > 0 && Math.min(bottom, frame.bottom) - Math.max(top, frame.top) > height / 2;
      })
      .map(({ item }) => item.item);
  }

  /** Shows the user's reaction to one item at once. */
  react(key, reaction) {
    this.#cards.get(key)?.react(reaction);
  }

  tick(now) {
    for (const card of this.#cards.values()) card.tick(now);
  }

  has(key) {
    return this.#cards.has(key);
  }

  /** The card with the keyboard focus. */
  get current() {
    return this.#current;
  }

  /** Moves the focus by a number of cards; without a focus, to the first one. */
  step(by) {
    const cards = this.#shown();
    if (cards.length === 0) return;
    const from = cards.indexOf(this.#current);
    const to = from < 0 ? 0 : Math.max(0, Math.min(cards.length - 1, from + by));
    this.focus(cards[to].item.item);
  }

  /** Scrolls to one card and focuses it. */
  focus(key) {
    const card = this.#cards.get(key);
    if (!card) return;
    card.node.focus({ preventScroll: true });
    card.node.scrollIntoView({ block: "nearest" });
  }

  #shown() {
    return [...this.#list.children].filter((node) => !node.classList.contains("leaving")).map((node) => node.card);
  }

  #mark(node) {
    const card = node?.card;
    if (!card || card === this.#current) return;
    if (this.#current) this.#current.node.tabIndex = -1;
    this.#current = card;
    card.node.tabIndex = 0;
  }

  /** The number of places that each moved item rose. */
  #draw() {
    const { stream, reactions, clock } = this.#session;
    const items = stream.items;
    const now = clock.now();
    const shifts = new Map();
    const cards = items.map((item, position) => {
      let card = this.#cards.get(item.item);
      // The position of a card that existed before; cards below the head continue the count.
      const shift = card ? card.item.position - position : 0;
      if (!card) this.#cards.set(item.item, (card = new Card(item, this.#options)));
      if (shift) shifts.set(item.item, shift);
      const shown = item.position === position ? item : { ...item, position };
      const reaction = reactions.get(item.item);
      card.show(shown, { reaction, ranking: stream.ranking, now, size: items.length, shift });
      return card;
    });
    const wanted = new Set(cards);
    for (const [key, card] of this.#cards) if (!wanted.has(card)) this.#drop(key, card, cards);
    reorder(this.#list, cards.map(({ node }) => node), { scroller: this.#scroller });
    if (!this.#current && cards.length > 0) cards[0].node.tabIndex = 0;
    this.#list.dataset.version = stream.version ?? "";
    this.#empty.hidden = items.length > 0;
    this.#more.hidden = items.length === 0 || stream.end;
    return shifts;
  }

  #drop(key, card, cards) {
    this.#cards.delete(key);
    if (card !== this.#current) return;
    // Keyboard focus continues at the card's former position.
    const hadFocus = card.node.contains(document.activeElement);
    this.#current = null;
    const next = cards[Math.min(card.item.position, cards.length - 1)];
    if (!next) return;
    this.#mark(next.node);
    if (hadFocus) queueMicrotask(() => next.node.focus({ preventScroll: true }));
  }
}
