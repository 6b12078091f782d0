/** One amount at one time, as it was sent. */
export interface Point {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly text: string;
}

/**
 * A series of bounded length: of each step of time the last point is kept, and the oldest steps
 * are dropped. Times, values (floats, for pixels alone) and texts stand side by side.
 */
export class Tier {
  readonly stepMs: number;
  /** Seconds, as uPlot wants them. */
  times: number[] = [];
  values: number[] = [];
  texts: string[] = [];
  #capacity: number;

  constructor(stepMs: number, capacity: number) {
    this.stepMs = stepMs;
    this.#capacity = capacity;
  }

  get spanMs(): number {
    return this.stepMs * this.#capacity;
  }

  /** Take the newest point; one that is older than the last is not taken. */
  add({ at, text }: Point): void {
    const last = this.times.length - 1;
    const lastAt = (this.times[last] ?? Number.NEGATIVE_INFINITY) * 1000;
    if (at < lastAt) return;
    const isSameStep = Math.floor(at / this.stepMs) === Math.floor(lastAt / this.stepMs);
    const index = isSameStep ? last : last + 1;
    this.times[index] = at / 1000;
    this.values[index] = Number(text);
    this.texts[index] = text;
    // Dropped a tenth at once: to shift three arrays at every step is dear.
    if (this.times.length > this.#capacity * 1.1) this.#cut(this.times.length - this.#capacity);
  }

  /** Take points from before the first one, oldest first. */
  prepend(older: readonly Point[]): void {
    const firstAt = (this.times[0] ?? Number.POSITIVE_INFINITY) * 1000;
    const before = new Tier(this.stepMs, Number.POSITIVE_INFINITY);
    for (const point of older) if (point.at < firstAt) before.add(point);
    this.times = before.times.concat(this.times);
    this.values = before.values.concat(this.values);
    this.texts = before.texts.concat(this.texts);
    if (this.times.length > this.#capacity) this.#cut(this.times.length - this.#capacity);
  }

  /** The index of the last point at or before a time; -1 where there is none. */
  indexAt(ms: number): number {
    const seconds = ms / 1000;
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[middle] as number) <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  pointAt(index: number): Point | null {
    const [time, text] = [this.times[index], this.texts[index]];
    return time === undefined || text === undefined ? null : { at: time * 1000, text };
  }

  #cut(count: number): void {
    this.times = this.times.slice(count);
    this.values = this.values.slice(count);
    this.texts = this.texts.slice(count);
  }
}
