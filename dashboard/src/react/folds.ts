// From a channel's changes to what happened. No I/O: each fold is called with every change, in
// order, beginning with a snapshot.

import type { Change, LogEntry, Position } from "../client/index.ts";
import type { Changes, Entries, Rows } from "../client/protocol.ts";

export type Fold = (change: Change) => void;

/** Tell each value, the one that there is first. */
export function values<T>(tell: (value: T) => void): Fold {
  return (change) => {
    if (change.type !== "snapshot" && change.type !== "update") return;
    // Nothing was published yet.
    if (change.data !== null) tell(change.data as T);
  };
}

/**
 * Tell which rows came, changed and went. Those that are there at first did not come; after a
 * break, what differs is told.
 */
export function rowChanges<T>(tell: (what: "came" | "changed" | "went", row: T) => void): Fold {
  let rows: Map<string, T> | null = null;
  const remove = (known: Map<string, T>, key: string) => {
    const row = known.get(key);
    if (known.delete(key)) tell("went", row as T);
  };
  const put = (known: Map<string, T>, key: string, row: T) => {
    const before = known.get(key);
    const what = known.has(key) ? "changed" : "came";
    known.set(key, row);
    if (what === "came" || JSON.stringify(before) !== JSON.stringify(row)) tell(what, row);
  };
  return (change) => {
    if (change.type === "snapshot") {
      const now = Object.entries((change.data as Rows).rows) as [string, T][];
      if (rows === null) rows = new Map(now);
      else {
        const kept = new Set(now.map(([key]) => key));
        for (const key of [...rows.keys()]) if (!kept.has(key)) remove(rows, key);
        for (const [key, row] of now) put(rows, key, row);
      }
    } else if (change.type === "update" && change.position !== null && rows !== null) {
      const { upsert, delete: deleted } = change.data as Changes;
      for (const key of deleted) remove(rows, key);
      for (const [key, row] of Object.entries(upsert)) put(rows, key, row as T);
    }
  };
}

/**
 * Tell each entry that is new: not those that are there at first, and after a break those that the
 * snapshot has beyond it. A history that begins anew is new as a whole.
 */
export function newEntries<T>(tell: (entry: LogEntry<T>) => void): Fold {
  let at: Position | null = null;
  return (change) => {
    if (change.type === "snapshot") {
      const { entries } = change.data as Entries;
      const last = at;
      at = change.position;
      if (last === null) return;
      const isSame = last.epoch === at.epoch;
      for (const entry of entries) if (!isSame || entry.seq > last.seq) tell(entry as LogEntry<T>);
    } else if (change.type === "update" && change.position !== null) {
      const { event, ts, data, position } = change;
      at = position;
      tell({ seq: position.seq, event, ts, data: data as T });
    }
  };
}
