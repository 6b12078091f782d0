import type { AlignedData } from "uplot";
import type { EquityHistory, Range } from "../equity/history.ts";
import type { Tier } from "../equity/tier.ts";

/** The part of a series that a chart shows. */
export interface Shown {
  readonly tier: Tier;
  /** The index in the series of the first point that is shown. */
  readonly first: number;
  /** Seconds. */
  readonly from: number;
  readonly to: number;
  readonly data: AlignedData;
}

const LEAST_MS = 30_000;

/**
 * What a range shows up to `until` (milliseconds): from the last point before it, so that the line
 * begins at the edge, and with the last amount held up to the end. A range that begins before
 * anything is known begins there.
 */
export function shownOf(history: EquityHistory, range: Range, until: number): Shown | null {
  const { first, last } = history;
  if (first === null || last === null) return null;
  const to = Math.max(until, last.at);
  const begin = range.ms === null ? first.at : Math.max(first.at, to - range.ms);
  const from = Math.min(begin, to - LEAST_MS);
  const tier = history.tierFor(range);
  const index = Math.max(0, tier.indexAt(from));
  const times = tier.times.slice(index);
  const values = tier.values.slice(index);
  times.push(to / 1000);
  values.push(values.at(-1) as number);
  return { tier, first: index, from: from / 1000, to: to / 1000, data: [times, values] };
}
