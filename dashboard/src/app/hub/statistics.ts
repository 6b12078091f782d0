// The hub's counts, and what two of them say of the time in between.

import { count, fields } from "../data/reading.ts";
import { type ListedChannel, readChannels } from "../session/api.ts";

export type Totals = Readonly<Record<string, number>>;

/** What the hub counted since it began; `at` in milliseconds by the hub's clock. */
export interface Counts {
  readonly at: number;
  readonly workers: number;
  readonly connections: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly deliveredBytes: number;
  readonly conflated: number;
  readonly received: number;
  /** Upper bounds of the buckets in microseconds, and the counts of each; the last has no bound. */
  readonly lagBounds: readonly number[];
  readonly lagCounts: readonly number[];
  readonly closes: Totals;
  readonly refusals: Totals;
  readonly channels: readonly ListedChannel[];
}

export function readCounts(answer: unknown): Counts {
  const given = fields(answer);
  const lag = fields(given.lag);
  return {
    at: (count(given.ts) ?? 0) / 1000,
    workers: count(given.workers) ?? 1,
    connections: count(given.connections) ?? 0,
    accepted: count(given.accepted) ?? 0,
    delivered: count(given.delivered) ?? 0,
    deliveredBytes: count(given.delivered_bytes) ?? 0,
    conflated: count(given.conflated) ?? 0,
    received: count(given.received) ?? 0,
    lagBounds: numbers(lag.bounds_us),
    lagCounts: apart(numbers(lag.counts)),
    closes: totals(given.closes),
    refusals: totals(given.refusals),
    channels: readChannels(given),
  };
}

/** What happened between two counts. */
export interface Sample {
  /** Milliseconds, the end of it. */
  readonly at: number;
  readonly connections: number;
  readonly stale: number;
  /** A second. */
  readonly deliveries: number;
  readonly bytes: number;
  readonly conflated: number;
  readonly received: number;
  /** From publish to socket in milliseconds; null where nothing was delivered. */
  readonly lagP50: number | null;
  readonly lagP99: number | null;
  /** How many connections ended, by code. */
  readonly closes: Totals;
}

/** Null where the two can't be compared: no time between them, or a hub that began anew. */
export function between(before: Counts, after: Counts): Sample | null {
  const seconds = (after.at - before.at) / 1000;
  if (seconds <= 0 || after.delivered < before.delivered) return null;
  const rate = (name: "delivered" | "deliveredBytes" | "conflated" | "received") =>
    Math.max(0, after[name] - before[name]) / seconds;
  const lag = after.lagCounts.map((total, i) => Math.max(0, total - (before.lagCounts[i] ?? 0)));
  return {
    at: after.at,
    connections: after.connections,
    stale: after.channels.filter(({ stale }) => stale).length,
    deliveries: rate("delivered"),
    bytes: rate("deliveredBytes"),
    conflated: rate("conflated"),
    received: rate("received"),
    lagP50: percentile(after.lagBounds, lag, 0.5),
    lagP99: percentile(after.lagBounds, lag, 0.99),
    closes: risen(before.closes, after.closes),
  };
}

/**
 * The newest sample of several counts, oldest first: what is gone by counts since the last of them,
 * rates and lags over all, since a round of publishes every half second would make them jump.
 */
export function newest(counts: readonly Counts[]): Sample | null {
  const [oldest, before, after] = [counts[0], counts.at(-2), counts.at(-1)];
  if (oldest === undefined || before === undefined || after === undefined) return null;
  const step = between(before, after);
  const whole = between(oldest, after);
  return step === null || whole === null ? null : { ...whole, closes: step.closes };
}

/**
 * A percentile of a histogram in milliseconds, from counts per bucket. Within a bucket it is taken
 * to be spread evenly; what lies above all bounds is the last of them.
 */
export function percentile(
  boundsUs: readonly number[],
  counts: readonly number[],
  share: number,
): number | null {
  const total = counts.reduce((sum, each) => sum + each, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [i, inside] of counts.entries()) {
    if (inside > 0 && below + inside >= share * total) {
      const low = i === 0 ? 0 : (boundsUs[i - 1] ?? 0);
      const high = boundsUs[i] ?? low;
      return (low + (high - low) * ((share * total - below) / inside)) / 1000;
    }
    below += inside;
  }
  return null;
}

/** The counts of each bucket by itself, of counts up to each bound. */
function apart(cumulative: readonly number[]): readonly number[] {
  return cumulative.map((total, i) => total - (cumulative[i - 1] ?? 0));
}

function risen(before: Totals, after: Totals): Totals {
  const pairs = Object.entries(after).map(
    ([code, total]) => [code, Math.max(0, total - (before[code] ?? 0))] as const,
  );
  return Object.fromEntries(pairs.filter(([, rise]) => rise > 0));
}

function numbers(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.map((each) => count(each) ?? 0) : [];
}

function totals(value: unknown): Totals {
  const pairs = Object.entries(fields(value)).map(([name, total]) => [name, count(total) ?? 0]);
  return Object.fromEntries(pairs);
}
