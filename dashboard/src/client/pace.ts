/** Which of many things changed, told so often and no oftener. Times are monotonic milliseconds. */
export class Pace<Thing> {
  /** Nobody looks: `hiddenMs` counts instead of `shownMs`. */
  hidden = false;
  #shownMs: number;
  #hiddenMs: number;
  #changed = new Set<Thing>();
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(shownMs: number, hiddenMs: number) {
    this.#shownMs = shownMs;
    this.#hiddenMs = hiddenMs;
  }

  mark(thing: Thing): void {
    this.#changed.add(thing);
  }

  get deadline(): number {
    if (this.#changed.size === 0) return Number.POSITIVE_INFINITY;
    return this.#lastAt + (this.hidden ? this.#hiddenMs : this.#shownMs);
  }

  /** What changed since the last time, where it is time to tell. */
  take(now: number): readonly Thing[] {
    if (now < this.deadline) return [];
    this.#lastAt = now;
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }
}
