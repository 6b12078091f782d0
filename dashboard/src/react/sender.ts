// What one page sends to one agent, each command followed to its end.
//
// Rules:
// 1. An attempt is one publish with one id: however often it is sent again, it is one command.
// 2. It waits for the hub no longer than `waitMs`, by the wall clock: a machine that slept does not
//    send an old command when it wakes. Given up, it is `unsent` where there was no connection over
//    which it could have gone, and else `unknown`: the hub may have it.
// 3. What the hub has taken is followed in the agent's log, over any number of connections.
// 4. Where the log has a gap in which its end may have been, it is `unknown` too.

import type { Change, Channel, Client, LogEntry } from "../client/index.ts";
import { HubError } from "../client/index.ts";
import { isUp } from "../client/link.ts";
import type { CommandState, Entries, PublishResult } from "../client/protocol.ts";
import { type CommandRecord, foldEntry, isEnded } from "./records.ts";

/**
 * `sending`: the hub has not answered. `refused`: it said no, and nothing was sent. `unsent`: given
 * up without a connection, so nothing was sent. `unknown`: nobody here can tell; `reason` says why.
 * The others are the command's own.
 */
export type AttemptState = "sending" | "refused" | "unsent" | "unknown" | CommandState;

/** A command that was sent here, as far as it is known: a new object at each step. */
export interface Attempt {
  /** Counts those of this page. */
  readonly n: number;
  /** What the hub calls the command; null before it said so. */
  readonly id: string | null;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly state: AttemptState;
  /** When it was sent and given up, in milliseconds since the epoch. */
  readonly sentAt: number;
  readonly waitsUntil: number;
  readonly worker: string | null;
  readonly result: unknown;
  /** Why it failed, was refused, or is unknown. */
  readonly reason: string | null;
  /** The hub's code of a refusal. */
  readonly code: number | null;
  /** Resolves once no more is to be heard of it. Never rejects. */
  readonly ended: Promise<Attempt>;
}

/** How a command is sent. */
export interface SendOptions {
  /** Nobody begins it later, counted from when the hub has it; 10000 by default. */
  readonly expiresInMs?: number;
  /** How long it waits for the hub; as long as `expiresInMs` by default. */
  readonly waitMs?: number;
  /** Stops the waiting for the hub; what was sent may be done. */
  readonly signal?: AbortSignal;
}

const EXPIRES_MS = 10_000;
/** How many attempts that are over are remembered. */
const KEPT = 20;
const GAP = "the log of the agent's commands has a gap here";

/** Whether no more is to be heard of an attempt. */
export function isOver({ state }: Attempt): boolean {
  return state === "refused" || state === "unsent" || state === "unknown" || isEnded(state);
}

/** Sends to one agent. */
export class Sender {
  #client: Client;
  #channel: Channel<unknown>;
  #attempts: readonly Attempt[] = [];
  #resolves = new Map<number, (attempt: Attempt) => void>();
  #seqs = new Map<number, { readonly epoch: string; readonly seq: number }>();
  #listeners = new Set<() => void>();
  #records = new Map<string, CommandRecord>();
  #unfollow: (() => void) | null = null;
  #n = 0;

  constructor(client: Client, channel: string) {
    this.#client = client;
    this.#channel = client.channel(channel);
  }

  /** Newest first; the same array until something became of one of them. */
  readonly getAttempts = (): readonly Attempt[] => this.#attempts;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Send a command, once. */
  readonly send = (
    event: string,
    data: Readonly<Record<string, unknown>> = {},
    { expiresInMs = EXPIRES_MS, waitMs = expiresInMs, signal }: SendOptions = {},
  ): Attempt => {
    this.#n += 1;
    const n = this.#n;
    const ended = new Promise<Attempt>((resolve) => this.#resolves.set(n, resolve));
    const sentAt = Date.now();
    const attempt: Attempt = {
      ...BLANK,
      n,
      event,
      data,
      ended,
      sentAt,
      waitsUntil: sentAt + waitMs,
    };
    this.#attempts = [attempt, ...this.#attempts].filter((each, at) => at < KEPT || !isOver(each));
    this.#follow();
    void this.#publish(attempt, expiresInMs, signal);
    this.#tell();
    return attempt;
  };

  async #publish(
    { n, event, data, waitsUntil }: Attempt,
    expiresInMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const client = this.#client;
    const givenUp = new AbortController();
    const giveUp = () => givenUp.abort();
    let mayHaveGone = false;
    const look = () => {
      mayHaveGone ||= isUp(client.status);
      if (Date.now() >= waitsUntil) giveUp();
    };
    const stop = client.on("status", look);
    const timer = setTimeout(giveUp, waitsUntil - Date.now());
    signal?.addEventListener("abort", giveUp);
    if (signal?.aborted) giveUp();
    look();
    try {
      const options = { expiresInMs, signal: givenUp.signal };
      this.#taken(n, await client.publish(this.#channel.name, event, data, options));
    } catch (error) {
      if (!givenUp.signal.aborted && !isAtRest(client)) this.#refused(n, error);
      else this.#change(n, { state: mayHaveGone ? "unknown" : "unsent", reason: lossOf(client) });
    } finally {
      stop();
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    }
  }

  #taken(n: number, { epoch, seq, command }: PublishResult): void {
    if (command === undefined) {
      // A hub from before there were commands has published it, and no agent hears.
      this.#change(n, { state: "refused", reason: "the hub is too old to pass commands on" });
      return;
    }
    const { id, state } = command;
    this.#seqs.set(n, { epoch, seq });
    // Its steps may have been heard before the answer.
    const record = this.#records.get(id);
    this.#change(n, { id, state, ...(record && stepOf(record)) });
  }

  #refused(n: number, error: unknown): void {
    const code = error instanceof HubError ? error.code : null;
    const reason = error instanceof Error ? error.message : String(error);
    this.#change(n, { state: "refused", code, reason });
  }

  // What the log says

  /** Listen while anything may still be heard. */
  #follow(): void {
    this.#unfollow ??= this.#channel.onChange((change) => this.#hear(change));
  }

  #hear(change: Change): void {
    if (change.type === "update" && change.position !== null) {
      const { event, ts, data, position } = change;
      this.#step(foldEntry(this.#records, { seq: position.seq, event, ts, data }));
    } else if (change.type === "snapshot") {
      const { entries } = change.data as Entries;
      this.#records.clear();
      for (const entry of entries) this.#step(foldEntry(this.#records, entry));
      this.#doubt(change.position.epoch, entries);
    }
  }

  #step(record: CommandRecord | null): void {
    if (record === null) return;
    const attempt = this.#attempts.find(({ id }) => id === record.id);
    if (attempt !== undefined) this.#change(attempt.n, stepOf(record));
  }

  /** A snapshot came: the end of an attempt may be among what lies before it. */
  #doubt(epoch: string, entries: readonly LogEntry<unknown>[]): void {
    const first = entries[0]?.seq ?? Number.POSITIVE_INFINITY;
    for (const [n, sent] of [...this.#seqs]) {
      if (sent.epoch === epoch && first <= sent.seq + 1) continue;
      this.#change(n, { state: "unknown", reason: GAP });
    }
  }

  // What is told

  #change(n: number, change: Partial<Attempt>): void {
    const before = this.#attempts.find((each) => each.n === n);
    if (before === undefined || isOver(before)) return;
    const attempt = { ...before, ...change };
    this.#attempts = this.#attempts.map((each) => (each === before ? attempt : each));
    if (isOver(attempt)) {
      this.#resolves.get(n)?.(attempt);
      this.#resolves.delete(n);
      this.#seqs.delete(n);
    }
    if (this.#attempts.every(isOver)) {
      this.#unfollow?.();
      this.#unfollow = null;
      this.#records.clear();
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

const BLANK = {
  id: null,
  state: "sending",
  worker: null,
  result: undefined,
  reason: null,
  code: null,
} as const;

function stepOf({ state, worker, result, reason }: CommandRecord): Partial<Attempt> {
  return { state, worker, result, reason };
}

/** Whether the client will not connect by itself, so that every publish was given up. */
function isAtRest({ status }: Client): boolean {
  const { state, retryAt } = status;
  return state === "closed" || (state === "unauthorized" && retryAt === null);
}

function lossOf(client: Client): string {
  if (isAtRest(client)) return client.status.reason;
  return isUp(client.status) ? "the hub did not answer" : "the connection to the hub was lost";
}

const senders = new WeakMap<Client, Map<string, Sender>>();

/** The one sender of a client to an agent's channel, which lasts as long as the client. */
export function senderOf(client: Client, channel: string): Sender {
  const ofClient = senders.get(client) ?? new Map<string, Sender>();
  senders.set(client, ofClient);
  const sender = ofClient.get(channel) ?? new Sender(client, channel);
  ofClient.set(channel, sender);
  return sender;
}
