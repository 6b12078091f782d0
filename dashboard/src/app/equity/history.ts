// The course of equity, bounded however long the page is open: fine for the last hour, coarser for
// the day, coarse for a month.

import { compare, minus, percentOf } from "../money/decimal.ts";
import { type Point, Tier } from "./tier.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** What the chart can show; null is all there is. */
export const RANGES = [
  { name: "5m", label: "5 minutes", ms: 5 * MINUTE },
  { name: "15m", label: "15 minutes", ms: 15 * MINUTE },
  { name: "1h", label: "1 hour", ms: HOUR },
  { name: "6h", label: "6 hours", ms: 6 * HOUR },
  { name: "1d", label: "1 day", ms: 24 * HOUR },
  { name: "all", label: "Everything", ms: null },
] as const;

export type Range = (typeof RANGES)[number];

/** How far equity is from where it was: exact, and in per cent where that means something. */
export interface Distance {
  readonly amount: string;
  readonly pct: string | null;
  /** The point that it is measured from. */
  readonly from: Point;
}

export class EquityHistory {
  #tiers = [
    new Tier(SECOND, HOUR / SECOND + 120),
    new Tier(15 * SECOND, (25 * HOUR) / (15 * SECOND)),
    new Tier(5 * MINUTE, (31 * 24 * HOUR) / (5 * MINUTE)),
  ] as const;
  #peak: Point | null = null;
  #last: Point | null = null;
  #first: Point | null = null;

  get last(): Point | null {
    return this.#last;
  }

  get first(): Point | null {
    return this.#first;
  }

  add(point: Point): void {
    if (this.#last !== null && point.at < this.#last.at) return;
    this.#last = point;
    this.#first ??= point;
    for (const tier of this.#tiers) tier.add(point);
    this.#compareWithPeak(point);
  }

  /** Take what happened before the first point, oldest first. */
  prepend(older: readonly Point[]): void {
    if (this.#last === null) {
      for (const point of older) this.add(point);
      return;
    }
    for (const tier of this.#tiers) tier.prepend(older);
    const [earliest] = older;
    if (earliest !== undefined && (this.#first === null || earliest.at < this.#first.at)) {
      this.#first = earliest;
    }
    for (const point of older) this.#compareWithPeak(point);
  }

  /** The series that shows a range best. */
  tierFor(range: Range): Tier {
    const known = this.#last && this.first ? this.#last.at - this.first.at : 0;
    const wanted = range.ms ?? known;
    const [fine, middle, coarse] = this.#tiers;
    if (wanted <= HOUR) return fine;
    return wanted <= 24 * HOUR ? middle : coarse;
  }

  /** What equity was at a moment: the last point before it, or the first after it. */
  openAt(ms: number): Point | null {
    for (const tier of this.#tiers) {
      const before = tier.pointAt(tier.indexAt(ms - 1));
      if (before !== null) return before;
    }
    return this.#first;
  }

  /** How far equity is below its highest, as far as that is known. */
  get drawdown(): Distance | null {
    return this.#peak === null ? null : this.distanceFrom(this.#peak);
  }

  distanceFrom(from: Point): Distance | null {
    if (this.#last === null) return null;
    const amount = minus(this.#last.text, from.text);
    return { amount, pct: percentOf(amount, from.text), from };
  }

  #compareWithPeak(point: Point): void {
    if (this.#peak === null || compare(point.text, this.#peak.text) > 0) this.#peak = point;
  }
}
