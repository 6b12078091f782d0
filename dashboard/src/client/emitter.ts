/** Listeners by the name of what they are told of; `Events` says what that is for each name. */
export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<(detail: never) => void>>();

  /** Call `listener` at each event of this name; returns what ends it. */
  on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // Wrapped, so that the same function may listen twice.
    const own = (detail: Events[Name]) => listener(detail);
    listeners.add(own);
    return () => listeners.delete(own);
  }

  emit<Name extends keyof Events>(name: Name, detail: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      guarded(() => (listener as (detail: Events[Name]) => void)(detail));
    }
  }
}

/** Run what an application gave: its error is its own, and stops nobody else. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
