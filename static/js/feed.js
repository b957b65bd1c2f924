// The stream on screen: cards in order, with animated moves.
//
// Invariant: each item has one card. A card that the user acted on keeps its place until it is out of sight, and nothing
// moves while the user reads: new items wait behind the button `fresh`. `onDrawn` runs after the browser has painted the newest stream, not before.

import { arrange, kept } from "./arrange.js";
import { Card } from "./card.js";
import { TOP_PIXELS, reorder } from "./flip.js";

// A finger leaves no pointer over the stream; the user reads for so long after a touch.
const TOUCH_STAYS_MS = 15_000;
const WEIGHT = { news: 0, act: 1, settle: 2 };

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
  #fresh;
  #held = new Set(); // keys of items that the user acted on
  #hovered = false;
  #touched = -Infinity;
  #change = "news";

  /** `onAction(item, kind)`, `onDrawn(visible)`, `onSight(visible)`, `onMore()`, `nameOf(person)`. */
  constructor({ list, scroller, more, empty, fresh }, options) {
    this.#list = list;
    this.#scroller = scroller;
    this.#more = more;
    this.#empty = empty;
    this.#fresh = fresh;
    this.#options = options;
    fresh.addEventListener("click", () => this.settle());
    list.addEventListener("pointerover", ({ pointerType }) => (this.#hovered = pointerType === "mouse"));
    list.addEventListener("pointerleave", () => (this.#hovered = false));
    list.addEventListener("pointerdown", ({ pointerType }) => pointerType !== "mouse" && (this.#touched = performance.now()));
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
    this.#held.clear();
    this.#change = "settle";
    this.#fresh.hidden = true;
    this.#list.replaceChildren();
    this.#current = null;
    this.#scroller.scrollTop = 0;
  }

  /**
   * Draws the session's stream at the next frame; calls before it are merged. `change` is `act` after an act of this user,
   * `settle` when the stream begins anew, and `news` else.
   */
  show(session, change, onPainted = () => {}) {
    this.#session = session;
    if (WEIGHT[change] > WEIGHT[this.#change]) this.#change = change;
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

  /** Shows the user's reaction to one item at once; `isHere`: it was made here, so its card keeps its place. */
  react(key, reaction, isHere) {
    const card = this.#cards.get(key);
    if (!card) return;
    if (isHere) this.#held.add(key);
    card.react(reaction);
  }

  /** Brings the cards into the order of the stream, from its top. */
  settle() {
    this.#held.clear();
    this.#scroller.scrollTop = 0;
    if (this.#list.contains(document.activeElement) || document.activeElement === this.#fresh) this.#list.focus({ preventScroll: true });
    this.show(this.#session, "settle");
  }

  /** Whether the user is looking at cards that must not move. */
  get #isReading() {
    const focus = this.#list.querySelector(":focus-visible");
    const touched = performance.now() - this.#touched < TOUCH_STAYS_MS;
    return this.#hovered || touched || Boolean(focus) || this.#scroller.scrollTop >= TOP_PIXELS;
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
    const change = this.#change;
    this.#change = "news";
    const { items, keep } = this.#arranged(stream.items, change);
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
    reorder(this.#list, cards.map(({ node }) => node), {
      scroller: this.#scroller,
      top: change === "settle",
      hold: keep > 0 ? cards[keep - 1].node : null,
    });
    if (!this.#current && cards.length > 0) cards[0].node.tabIndex = 0;
    this.#list.dataset.version = stream.version ?? "";
    this.#empty.hidden = items.length > 0;
    this.#more.hidden = items.length === 0 || stream.end;
    return shifts;
  }

  /** The items in the order of the screen. Kept cards that left the stream show their last state. */
  #arranged(items, change) {
    const shown = this.#shown().map(({ item }) => item.item);
    const sight = new Set(this.visible());
    for (const key of this.#held) if (!sight.has(key)) this.#held.delete(key);
    const keep = change === "settle" ? 0 : kept(shown, this.#held, change === "news" && this.#isReading);
    const { order, fresh, differs } = arrange(shown, items.map(({ item }) => item), keep);
    this.#fresh.hidden = !differs || keep === 0;
    this.#fresh.textContent = fresh ? `${fresh} new` : "New order";
    const found = new Map(items.map((item) => [item.item, item]));
    return { items: order.map((key) => found.get(key) ?? this.#cards.get(key).item), keep };
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
