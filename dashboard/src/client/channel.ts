import type { Change, SnapshotChange } from "./changes.ts";
import { guarded } from "./emitter.ts";
import type { HubError } from "./errors.ts";
import { type Kind, NORMAL } from "./protocol.ts";
import type { Followed } from "./session.ts";
import { type Condition, type Snapshot, Store } from "./store.ts";
import { Tracker } from "./tracker.ts";

/** How long something is wanted. */
export interface Until {
  readonly signal?: AbortSignal | undefined;
}

/** How changes are iterated. */
export interface ChangesOptions extends Until {
  /** How many changes may wait for the loop; 1000 by default. */
  readonly limit?: number;
}

/**
 * One channel of a hub. It is followed from the first listener, loop or `ready` until a moment
 * after the last of them has gone; what it showed is kept, and it resumes from there.
 */
export interface Channel<T> {
  readonly name: string;

  /** What there is to show; the same object until listeners are told of a change. */
  getSnapshot(): Snapshot<T>;

  /**
   * Call `listener` after each change of the snapshot, about ten times a second at most and once a
   * second while the page is hidden. Returns what ends it.
   */
  subscribe(listener: () => void, until?: Until): () => void;

  /**
   * The first snapshot that has what the hub has, at once where there is one. Rejects with
   * HubError where the hub refuses the channel or the client is closed, and with the signal's
   * reason.
   */
  ready(until?: Until): Promise<Snapshot<T>>;

  /** Call `listener` with each change as it comes, in order, none left out. */
  onChange(listener: (change: Change) => void, until?: Until): () => void;

  /**
   * Each change in order, from a snapshot on. A loop that is slower than the channel by more than
   * `limit` changes gets a reset whose cause is `overflow` and the newest snapshot in place of
   * them. Ends with the signal or the client; throws HubError where the hub refuses the channel.
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<Change>;

  /** The same as `changes()`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Change>;
}

/** What a channel needs of its client. */
export interface Home {
  follow(channel: HubChannel): void;
  release(channel: HubChannel): void;
  /** The channel may look otherwise now. */
  mark(channel: HubChannel): void;
  /** Since when the connection is not live, in milliseconds since the epoch; null where it is. */
  awaySince(): number | null;
}

const CHANGES_LIMIT = 1000;

/** What `Channel` promises, and what the session and the client see of it. */
export class HubChannel implements Channel<unknown>, Followed {
  readonly tracker = new Tracker();
  readonly name: string;
  intervalMs: number;
  error: HubError | null = null;
  #home: Home;
  #store: Store;
  #holds = 0;
  #staleSince: number | null = null;
  #listeners = new Set<() => void>();
  #hearers = new Set<(change: Change) => void>();
  #waiting = new Set<(error: HubError) => void>();

  constructor(name: string, intervalMs: number, history: number, home: Home) {
    this.name = name;
    this.intervalMs = intervalMs;
    this.#home = home;
    this.#store = new Store(history);
  }

  get isWanted(): boolean {
    return this.#holds > 0;
  }

  getSnapshot(): Snapshot<unknown> {
    return this.#store.shown;
  }

  subscribe(listener: () => void, until?: Until): () => void {
    // Wrapped, so that the same function may listen twice.
    return this.#add(this.#listeners, () => listener(), until);
  }

  onChange(listener: (change: Change) => void, until?: Until): () => void {
    const current = this.#current();
    const stop = this.#add(this.#hearers, (change) => listener(change), until);
    if (current !== null) listener(current);
    return stop;
  }

  async ready({ signal }: Until = {}): Promise<Snapshot<unknown>> {
    signal?.throwIfAborted();
    const ended = new AbortController();
    const until = { signal: ended.signal };
    let fail = (_error: unknown) => {};
    try {
      return await new Promise((resolve, reject) => {
        fail = reject;
        const look = () => {
          if (this.#isCurrent()) resolve(this.#store.shown);
        };
        signal?.addEventListener("abort", () => reject(signal.reason), until);
        this.#waiting.add(fail);
        this.subscribe(look, until);
        // To follow a channel that nobody followed forgets its refusal.
        if (this.error !== null) reject(this.error);
        look();
      });
    } finally {
      ended.abort();
      this.#waiting.delete(fail);
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Change> {
    return this.changes();
  }

  async *changes({ signal, limit = CHANGES_LIMIT }: ChangesOptions = {}): AsyncGenerator<Change> {
    let queue: Change[] = [];
    let error: HubError | null = null;
    let wake = () => {};
    const end = (why: HubError) => {
      error = why;
      wake();
    };
    const stop = this.onChange((change) => {
      queue.push(change);
      if (queue.length > limit) queue = this.#overflow();
      wake();
    });
    error = this.error;
    const abort = () => wake();
    this.#waiting.add(end);
    signal?.addEventListener("abort", abort);
    try {
      while (!signal?.aborted) {
        const change = queue.shift();
        if (change !== undefined) yield change;
        else if (error !== null) {
          if ((error as HubError).code === NORMAL) return;
          throw error;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      stop();
      this.#waiting.delete(end);
      signal?.removeEventListener("abort", abort);
    }
  }

  // What the session says

  become(kind: Kind): void {
    this.#store.become(kind);
    this.#home.mark(this);
  }

  deliver(change: Change): void {
    try {
      this.#store.apply(change);
    } catch (error) {
      // What is shown lacks this change, so the position must not say otherwise.
      this.tracker.forget();
      throw error;
    }
    if (change.type === "state")
      this.#staleSince = change.since === null ? null : change.since / 1000;
    for (const hear of [...this.#hearers]) guarded(() => hear(change));
    this.#home.mark(this);
  }

  refuse(error: HubError): void {
    this.error = error;
    this.fail(error);
    this.#home.mark(this);
  }

  // What the client says

  /** Nobody will be answered: loops end, and `ready` rejects. */
  fail(error: HubError): void {
    for (const fail of [...this.#waiting]) fail(error);
  }

  /** Show what there is now, and tell the listeners where that is new. */
  show(): void {
    if (!this.#store.freeze(this.#condition())) return;
    for (const listener of [...this.#listeners]) guarded(listener);
  }

  #condition(): Condition {
    const { error, tracker } = this;
    const shown = this.#store.shown;
    if (error !== null) return { state: "refused", staleSince: null, error };
    if (!this.#store.isFilled)
      return { state: this.isWanted ? "waiting" : "idle", staleSince: null, error };
    const away = this.#home.awaySince();
    if (away === null && !tracker.stale && tracker.isCaughtUp) {
      return { state: "live", staleSince: null, error };
    }
    const since = tracker.stale ? this.#staleSince : away;
    return {
      state: this.isWanted ? "stale" : "idle",
      staleSince: since ?? shown.staleSince,
      error,
    };
  }

  /** Whether what is shown is all that the hub has told, and the hub is heard. */
  #isCurrent(): boolean {
    const { position, state } = this.#store.shown;
    const { tracker } = this;
    const told = tracker.isCaughtUp && tracker.position === position && state !== "refused";
    return told && this.#home.awaySince() === null;
  }

  /** What there is, as the change that says all of it; null where nothing is. */
  #current(): SnapshotChange | null {
    const { position, ts, data } = this.#store;
    return position === null ? null : { type: "snapshot", position, ts, data };
  }

  #overflow(): Change[] {
    const current = this.#current();
    return current === null
      ? []
      : [{ type: "reset", cause: "overflow", last: current.position }, current];
  }

  #add<F>(to: Set<F>, listener: F, { signal }: Until = {}): () => void {
    if (signal?.aborted) return () => {};
    const stop = () => {
      signal?.removeEventListener("abort", stop);
      if (!to.delete(listener)) return;
      this.#holds -= 1;
      if (this.#holds === 0) this.#home.release(this);
    };
    to.add(listener);
    signal?.addEventListener("abort", stop);
    this.#holds += 1;
    if (this.#holds === 1) this.#home.follow(this);
    return stop;
  }
}
