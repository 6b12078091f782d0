const SECONDS = 5;

/** How many frames come in a second, the last five seconds weighing most. Times are monotonic ms. */
export class Rate {
  #rate = 0;
  #at = 0;

  count(now: number): void {
    this.#rate = this.perSecond(now) + 1 / SECONDS;
    this.#at = now;
  }

  perSecond(now: number): number {
    return this.#rate * Math.exp((this.#at - now) / 1000 / SECONDS);
  }
}
