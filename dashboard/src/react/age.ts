import { useSyncExternalStore } from "react";
import { useClient } from "./provider.tsx";

/**
 * How long ago something was published, in milliseconds by the hub's clock; it grows while the
 * component is mounted. Null where nothing was published. Give it `updatedAt`.
 */
export function useAge(updatedAt: number | null, everyMs = 1000): number | null {
  const client = useClient();
  const clock = clockOf(everyMs);
  const now = useSyncExternalStore(clock.subscribe, clock.get, onServer);
  if (updatedAt === null || now === null) return null;
  // Both clocks may be wrong: what counts is what the hub's would say.
  return Math.max(0, now - (client.stats.clockSkewMs ?? 0) - updatedAt);
}

/** The time, told so often to all who ask for it, and no timer while nobody does. */
class Clock {
  #everyMs: number;
  #now: number | null = null;
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  readonly get = (): number | null => this.#now;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#timer === undefined) {
      this.#now = Date.now();
      this.#timer = setInterval(() => this.#tick(), this.#everyMs);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };

  #tick(): void {
    this.#now = Date.now();
    for (const listener of [...this.#listeners]) listener();
  }
}

const clocks = new Map<number, Clock>();

function clockOf(everyMs: number): Clock {
  const clock = clocks.get(everyMs) ?? new Clock(everyMs);
  clocks.set(everyMs, clock);
  return clock;
}

function onServer(): null {
  return null;
}
