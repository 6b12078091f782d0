import type { Change, Channel, LogEntry } from "../../client/index.ts";
import type { Account } from "../data/accounts.ts";
import type { Memory } from "../data/memory.ts";
import { past } from "../data/past.ts";
import { fields } from "../data/reading.ts";
import { type Logged, Markers } from "../equity/markers.ts";
import { EquityTracker } from "../equity/tracker.ts";
import { type Api, ApiError } from "./api.ts";

/** What is kept of one account while somebody is logged in, whichever page is shown. */
export interface Ledger {
  readonly account: Account;
  readonly equity: EquityTracker;
  readonly markers: Markers;
  /** The pairs of positions that were asked about: once closed, an id says nothing to anybody. */
  readonly pairs: Map<string, string>;
}

/** What a ledger is kept from, and for how long. */
export interface Sources {
  readonly channel: (name: string) => Channel<unknown>;
  /** Whether a channel has a past to be asked for; browsers show every 404 in their consoles. */
  readonly hasPast: (name: string) => boolean;
  readonly api: Api;
  readonly memory: Memory;
  readonly signal: AbortSignal;
}

const PAST_PAGES = 2;

export function openLedger(account: Account, sources: Sources): Ledger {
  const { channel, hasPast, api, memory, signal } = sources;
  const equity = new EquityTracker(channel(account.portfolio), memory);
  equity.start(hasPast(account.portfolio) ? api : null, signal);
  const markers = new Markers();
  for (const name of [account.decisions, account.agent]) {
    channel(name).onChange((change) => markers.add(entriesOf(change)), { signal });
    if (hasPast(name)) void loadPast(name, markers, sources);
  }
  return { account, equity, markers, pairs: new Map() };
}

async function loadPast(name: string, markers: Markers, { api, signal }: Sources): Promise<void> {
  try {
    for await (const entries of past(api, name, PAST_PAGES, signal)) markers.add(entries);
  } catch (error) {
    // Without a past only what happens from now on is marked.
    if (!(error instanceof ApiError) && !signal.aborted) throw error;
  }
}

function entriesOf(change: Change): readonly Logged[] {
  if (change.type === "update") return [logged(change)];
  if (change.type !== "snapshot") return [];
  const { entries } = fields(change.data);
  return Array.isArray(entries) ? (entries as LogEntry<unknown>[]).map(logged) : [];
}

function logged({ event, ts, data }: { event: string; ts: number; data: unknown }): Logged {
  return { event, at: ts / 1000, data };
}
