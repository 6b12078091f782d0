import { useSyncExternalStore } from "react";

const TICK_MS = 1000;

/** One timer for every age on the page: it runs while somebody shows one. */
class Clock {
  #now = Date.now();
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  };

  readonly now = (): number => this.#now;

  #start(): void {
    this.#now = Date.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    document.addEventListener("visibilitychange", this.#tick);
  }

  #stop(): void {
    clearInterval(this.#timer);
    document.removeEventListener("visibilitychange", this.#tick);
  }

  readonly #tick = (): void => {
    // The title of a hidden tab is read too, so ages go on there.
    this.#now = Date.now();
    for (const listener of [...this.#listeners]) listener();
  };
}

const clock = new Clock();

/** What a function makes of the time by this machine's clock; renders again when that changes. */
export function useNowAs<T extends string | number | boolean>(show: (now: number) => T): T {
  return useSyncExternalStore(clock.subscribe, () => show(clock.now()));
}
