// What the day's profit and loss is measured from, kept over reloads: a page that was opened at
// noon can't know what the account had at midnight, one that was open then can.

import { forget, type Memory, recall, remember } from "../data/memory.ts";
import { fields } from "../data/reading.ts";
import { decimal } from "../money/decimal.ts";
import { startOfDay } from "../time/format.ts";
import type { Point } from "./tier.ts";

const NAME = "day";

/** The earliest point of today that this browser knows of, of one account. */
export function dayOpen(memory: Memory, account: string, now: number, seen: Point): Point {
  const day = startOfDay(now);
  const opens = read(memory);
  const kept = opens[account];
  if (seen.at < day) return seen;
  if (kept?.day === day && kept.at <= seen.at && decimal(kept.text) !== null) return kept;
  const fresh = Object.entries(opens).filter(([, open]) => open.day === day);
  const all = Object.fromEntries([...fresh, [account, { day, at: seen.at, text: seen.text }]]);
  remember(memory, NAME, JSON.stringify(all));
  return seen;
}

export function forgetDays(memory: Memory): void {
  forget(memory, NAME);
}

interface Open extends Point {
  readonly day: number;
}

function read(memory: Memory): Record<string, Open> {
  try {
    return fields(JSON.parse(recall(memory, NAME) ?? "{}")) as Record<string, Open>;
  } catch {
    return {};
  }
}
