// A channel's current state, folded from its changes. No I/O.
//
// What is shown is immutable and changes only in `freeze`: between two calls it is the same object,
// and a row that did not change keeps its identity.

import type { Change } from "./changes.ts";
import type { HubError } from "./errors.ts";
import {
  type Changes,
  type Entries,
  type Kind,
  MAX_HISTORY,
  type Position,
  type Rows,
} from "./protocol.ts";

/** One entry of a log; `ts` in microseconds since the epoch (UTC). */
export interface LogEntry<T> {
  readonly seq: number;
  readonly event: string;
  readonly ts: number;
  readonly data: T;
}

/**
 * `idle`: nobody follows the channel. `waiting`: for the first snapshot. `live`: what is shown is
 * what the hub has. `stale`: it is old, since the producer missed its deadline, the connection is
 * not live, or what was missed has not come yet. `refused`: the hub says no, see `error`.
 */
export type Freshness = "idle" | "waiting" | "live" | "stale" | "refused";

/** A channel as it is shown; by its kind, one of `value`, `rows` and `entries` is filled. */
export interface Snapshot<T> {
  readonly state: Freshness;
  readonly kind: Kind | null;
  /** The last value; undefined before there is one. */
  readonly value: T | undefined;
  readonly rows: ReadonlyMap<string, T>;
  /** Oldest first. */
  readonly entries: readonly LogEntry<T>[];
  readonly position: Position | null;
  /** Of the newest change, in microseconds since the epoch (UTC) by the hub's clock; 0 for none. */
  readonly ts: number;
  /** Since when it is `stale`, in milliseconds since the epoch; null where that is not known. */
  readonly staleSince: number | null;
  /** How many changes were conflated away on purpose. */
  readonly skipped: number;
  /** How often continuity broke: between two of them every change was seen or counted. */
  readonly resets: number;
  readonly error: HubError | null;
}

const NO_ROWS: ReadonlyMap<string, never> = new Map<string, never>();
const NO_ENTRIES: readonly never[] = [];

/** What is shown of a channel of which nothing is known. */
export const NOTHING: Snapshot<never> = {
  state: "idle",
  kind: null,
  value: undefined,
  rows: NO_ROWS,
  entries: NO_ENTRIES,
  position: null,
  ts: 0,
  staleSince: null,
  skipped: 0,
  resets: 0,
  error: null,
};

/** How fresh a channel is just now; what `freeze` is told besides the data. */
export interface Condition {
  readonly state: Freshness;
  readonly staleSince: number | null;
  readonly error: HubError | null;
}

/** The state of one channel of any kind; `history` bounds the entries of a log. */
export class Store {
  #kind: Kind | null = null;
  #value: unknown;
  #rows = new Map<string, unknown>();
  #entries: LogEntry<unknown>[] = [];
  #changed = false;
  /** Whether there is anything to show, old or not. */
  isFilled = false;
  /** Of the last change that counted; null before there is one, and after a reset. */
  position: Position | null = null;
  ts = 0;
  #skipped = 0;
  #resets = 0;
  #history: number;
  shown: Snapshot<unknown> = NOTHING;

  constructor(history: number = MAX_HISTORY) {
    this.#history = history;
  }

  /** The channel carries this kind from now on; what it had of another kind is dropped. */
  become(kind: Kind): void {
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#value = undefined;
    this.#rows.clear();
    this.#entries = [];
    this.position = null;
    this.ts = 0;
    this.isFilled = false;
    this.#changed = true;
  }

  /** Take the channel's next change. Throws TypeError for data that does not suit the kind. */
  apply(change: Change): void {
    if (change.type === "reset") {
      this.#resets += 1;
      this.position = null;
      this.#changed = true;
    } else if (change.type === "snapshot") {
      this.#replace(change.data);
      this.isFilled = true;
      this.position = change.position;
      this.ts = change.ts;
    } else if (change.type === "update" && change.position !== null) {
      this.#advance(change.event, change.position.seq, change.ts, change.data);
      this.position = change.position;
      this.ts = change.ts;
      this.#skipped += change.skipped;
    }
    // A foreign publish has no place in the channel's history and changes no state.
  }

  /** Show what there is now. Returns false where that is what was shown already. */
  freeze({ state, staleSince, error }: Condition): boolean {
    const { shown } = this;
    const asBefore =
      state === shown.state && staleSince === shown.staleSince && error === shown.error;
    if (asBefore && !this.#changed) return false;
    this.shown = {
      state,
      kind: this.#kind,
      value: this.#value,
      // What did not change keeps its identity.
      rows: this.#changed ? new Map(this.#rows) : shown.rows,
      entries: this.#changed ? [...this.#entries] : shown.entries,
      position: this.position,
      ts: this.ts,
      staleSince,
      skipped: this.#skipped,
      resets: this.#resets,
      error,
    };
    this.#changed = false;
    return true;
  }

  /** The data of a snapshot frame that says what there is now; undefined before there is any. */
  get data(): unknown {
    if (this.#kind === "table") return { rows: Object.fromEntries(this.#rows) } satisfies Rows;
    if (this.#kind === "log") return { entries: [...this.#entries] } satisfies Entries;
    return this.#value;
  }

  #replace(data: unknown): void {
    if (this.#kind === "table") {
      const { rows } = object(data) as unknown as Rows;
      this.#rows = new Map(Object.entries(object(rows)));
    } else if (this.#kind === "log") {
      const { entries } = object(data) as unknown as Entries;
      if (!Array.isArray(entries)) throw new TypeError("expected the entries of a log");
      this.#entries = entries.slice(-this.#history);
    } else {
      this.#value = data;
    }
    this.#changed = true;
  }

  #advance(event: string, seq: number, ts: number, data: unknown): void {
    if (this.#kind === "table") {
      const { upsert, delete: deleted } = object(data) as unknown as Changes;
      for (const [key, row] of Object.entries(object(upsert))) this.#rows.set(key, row);
      for (const key of deleted) this.#rows.delete(key);
    } else if (this.#kind === "log") {
      this.#entries.push({ seq, event, ts, data });
      if (this.#entries.length > this.#history) this.#entries.shift();
    } else {
      this.#value = data;
    }
    this.#changed = true;
  }
}

function object(data: unknown): object {
  if (typeof data === "object" && data !== null) return data;
  throw new TypeError(`expected a JSON object of the hub, got ${typeof data}`);
}
