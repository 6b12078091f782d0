// What is marked on the course of equity: decisions that wanted something, and trades.

import { readDecision, readTrade } from "../data/payloads.ts";
import { asText } from "../money/format.ts";

export interface Marker {
  readonly id: string;
  readonly kind: "decision" | "trade";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly action: string;
  /** Whether a decision was carried out; a trade was. */
  readonly done: boolean;
  readonly text: string;
}

/** An entry of a log, live or past. */
export interface Logged {
  readonly event: string;
  readonly at: number;
  readonly data: unknown;
}

/** The marker of a log's entry; null for what is not marked. */
export function markerOf({ event, at, data }: Logged): Marker | null {
  if (event === "trade_executed") return tradeMarker(at, data);
  if (event === "decision_made" || event === "decision_updated") return decisionMarker(at, data);
  return null;
}

/** Markers by id, the newest word on each; bounded, the oldest go first. */
export class Markers {
  #byId = new Map<string, Marker>();
  #limit: number;
  #sorted: readonly Marker[] | null = null;

  constructor(limit = 2000) {
    this.#limit = limit;
  }

  /** Take entries that happened; what is known as it is changes nothing. */
  add(entries: readonly Logged[]): void {
    for (const entry of entries) {
      const marker = markerOf(entry);
      if (marker === null) continue;
      const known = this.#byId.get(marker.id);
      if (known?.done === true || (known !== undefined && !marker.done)) continue;
      // A decision that was carried out stays where it was made.
      this.#byId.set(marker.id, known ? { ...marker, at: Math.min(known.at, marker.at) } : marker);
      this.#sorted = null;
    }
    // Cut now and then: to sort at every one is dear.
    if (this.#byId.size <= this.#limit * 1.25) return;
    const kept = this.all.slice(-this.#limit);
    this.#byId = new Map(kept.map((marker) => [marker.id, marker]));
    this.#sorted = kept;
  }

  /** All of them, oldest first; the same array until one is added. */
  get all(): readonly Marker[] {
    this.#sorted ??= [...this.#byId.values()].sort((a, b) => a.at - b.at);
    return this.#sorted;
  }
}

function decisionMarker(at: number, data: unknown): Marker | null {
  const { id, action, pair, confidence, executed, madeAt } = readDecision(data);
  // To hold is decided all the time, and moves nothing.
  if (id === null || action === "HOLD") return null;
  const sure = confidence === null ? "" : ` at ${Math.round(confidence)} %`;
  const text = `${action} ${pair}${sure}${executed ? "" : ", not executed"}`;
  return { id: `d ${id}`, kind: "decision", at: madeAt ?? at, action, done: executed, text };
}

function tradeMarker(at: number, data: unknown): Marker | null {
  const trade = readTrade(data);
  if (trade === null) return null;
  const { id, action, pair, size, price, realized, executedAt } = trade;
  const amount = size === null ? "" : ` ${asText(size)}`;
  const where = price === null ? "" : ` at ${asText(price)}`;
  const won = realized === null ? "" : `, realised ${asText(realized, { signed: true })}`;
  const text = `${action}${amount} ${pair}${where}${won}`;
  return { id: `t ${id}`, kind: "trade", at: executedAt ?? at, action, done: true, text };
}
