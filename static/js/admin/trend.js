// The recent values of one figure.
//
// Invariant: times rise; at most a fixed number of values remain, the newest ones.

export class Trend {
  #kept = [];
  #most;

  constructor(most = 90) {
    this.#most = most;
  }

  add(at, value) {
    if (value === null || value === undefined || !Number.isFinite(value) || at <= (this.#kept.at(-1)?.[0] ?? -Infinity)) return;
    this.#kept = [...this.#kept, [at, value]].slice(-this.#most);
  }

  values() {
    return this.#kept.map(([, value]) => value);
  }

  /** The increase of a counter per second between successive values. A fall means a restart, and yields no value. */
  rates() {
    const found = [];
    for (let index = 1; index < this.#kept.length; index += 1) {
      const [[before, from], [at, to]] = [this.#kept[index - 1], this.#kept[index]];
      if (to >= from) found.push(((to - from) * 1000) / (at - before));
    }
    return found;
  }
}
