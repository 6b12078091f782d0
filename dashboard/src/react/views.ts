// What a snapshot comes to, by its channel's kind. Each is pure, and gives the same list for the
// same rows or entries, so that components which share a channel share what they render too.

import type { LogEntry, Snapshot } from "../client/index.ts";

/** What has an id, as a decision does. */
export interface Identified {
  readonly id: string;
}

/** The value; undefined where nothing was published yet. */
export function valueIn<T>({ value }: Snapshot<T>): T | undefined {
  return value ?? undefined;
}

/** The rows, in the hub's order; a row that did not change is the same object. */
export function rowsIn<T>({ kind, rows }: Snapshot<T>): readonly T[] | undefined {
  return kind === "table" ? (listed(rows) as readonly T[]) : undefined;
}

/** The entries, newest first. */
export function entriesIn<T>({ kind, entries }: Snapshot<T>): readonly LogEntry<T>[] | undefined {
  return kind === "log" ? (turned(entries) as readonly LogEntry<T>[]) : undefined;
}

/** Decisions, newest first, each as it is now: one that was updated keeps its place. */
export function decisionsIn<T extends Identified>({
  kind,
  entries,
}: Snapshot<T>): readonly T[] | undefined {
  return kind === "log" ? (latest(entries) as readonly T[]) : undefined;
}

const listed = once((rows: ReadonlyMap<string, unknown>) => [...rows.values()]);

const turned = once((entries: readonly LogEntry<unknown>[]) => [...entries].reverse());

const latest = once((entries: readonly LogEntry<unknown>[]) => {
  const byId = new Map<string, unknown>();
  for (const { seq, data } of entries) {
    byId.set((data as Identified | null)?.id ?? `entry ${seq}`, data);
  }
  return [...byId.values()].reverse();
});

/** The same result for the same object. */
export function once<From extends object, To>(make: (from: From) => To): (from: From) => To {
  const made = new WeakMap<From, To>();
  return (from) => {
    const known = made.get(from);
    if (known !== undefined) return known;
    const fresh = make(from);
    made.set(from, fresh);
    return fresh;
  };
}
