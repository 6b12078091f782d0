// The decision feed. Rules:
//
// 1. Somebody at its top follows it live. Somebody who scrolled away reads: what they read is kept
//    as it was, however much is decided meanwhile, and the new ones are counted.
// 2. A decision that was updated (carried out, say) keeps its place and shows what it is now; that
//    happens to what is being read too, since an outdated decision must not be believed.
// 3. Filters choose among the decisions that are kept; unread are those that pass them.

import type { LogEntry } from "../../client/index.ts";
import { type Decision, readDecision } from "../data/payloads.ts";

export interface Item {
  /** The decision's own id, or the entry's seq where it has none. */
  readonly key: string;
  readonly seq: number;
  /** When it was decided. */
  readonly at: number;
  readonly decision: Decision;
}

export interface Filter {
  readonly actions: readonly string[];
  readonly onlyExecuted: boolean;
  /** In the pair, the reasoning or the provider. */
  readonly search: string;
}

export const NO_FILTER: Filter = { actions: [], onlyExecuted: false, search: "" };

/** Decisions of a log's entries, newest first, each once. What did not change keeps its identity. */
export class Items {
  #byEntry = new WeakMap<object, Item>();
  #entries: readonly LogEntry<unknown>[] = [];
  #items: readonly Item[] = [];

  of(entries: readonly LogEntry<unknown>[]): readonly Item[] {
    if (entries === this.#entries) return this.#items;
    this.#entries = entries;
    const byKey = new Map<string, Item>();
    for (const entry of entries) {
      const item = this.#itemOf(entry);
      const first = byKey.get(item.key);
      byKey.set(item.key, first === undefined ? item : this.#inPlace(entry, item, first));
    }
    this.#items = [...byKey.values()].sort((a, b) => b.seq - a.seq);
    return this.#items;
  }

  #itemOf(entry: LogEntry<unknown>): Item {
    let item = this.#byEntry.get(entry);
    if (item === undefined) {
      const decision = readDecision(entry.data);
      const key = decision.id ?? `#${entry.seq}`;
      item = { key, seq: entry.seq, at: decision.madeAt ?? entry.ts / 1000, decision };
      this.#byEntry.set(entry, item);
    }
    return item;
  }

  #inPlace(entry: LogEntry<unknown>, item: Item, first: Item): Item {
    if (item.seq === first.seq) return item;
    const placed = { ...item, seq: first.seq };
    this.#byEntry.set(entry, placed);
    return placed;
  }
}

export function passes({ actions, onlyExecuted, search }: Filter, { decision }: Item): boolean {
  if (actions.length > 0 && !actions.includes(decision.action)) return false;
  if (onlyExecuted && !decision.executed) return false;
  if (search === "") return true;
  const wanted = search.toLowerCase();
  const { pair, reasoning, provider } = decision;
  return [pair, reasoning, provider ?? ""].some((part) => part.toLowerCase().includes(wanted));
}

/** What is read: null while the feed is followed live. */
export type Held = readonly Item[] | null;

/** What the feed shows, and how many more there are. */
export interface View {
  readonly items: readonly Item[];
  readonly unread: number;
}

export function view(items: readonly Item[], held: Held, filter: Filter): View {
  if (held === null) return { items: items.filter((item) => passes(filter, item)), unread: 0 };
  const newest = new Map(items.map((item) => [item.key, item]));
  const newestHeld = held[0]?.seq ?? 0;
  return {
    items: held.map((item) => newest.get(item.key) ?? item).filter((item) => passes(filter, item)),
    unread: items.filter((item) => item.seq > newestHeld && passes(filter, item)).length,
  };
}
