const MAX_TIMER_MS = 2 ** 31 - 1;
const NEVER = Number.POSITIVE_INFINITY;

/** One timer for all deadlines, in monotonic milliseconds. */
export class Alarm {
  #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = NEVER;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Ring at this time, or earlier: whoever is rung finds nothing to do then, and sets it anew. */
  set(at: number): void {
    // A timer that rings too early is cheaper than one for each frame.
    if (this.#at <= at && at < NEVER) return;
    clearTimeout(this.#timer);
    this.#at = at;
    if (at === NEVER) return;
    const delay = Math.min(Math.max(0, at - performance.now()), MAX_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#at = NEVER;
      this.#ring();
    }, delay);
  }
}
