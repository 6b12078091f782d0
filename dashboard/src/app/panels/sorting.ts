import type { TradingPosition } from "../data/payloads.ts";
import { compare } from "../money/decimal.ts";

/** A row of the table: its key in the channel, and what it is. */
export interface Row {
  readonly key: string;
  readonly position: TradingPosition;
}

export type Column =
  | "pair"
  | "side"
  | "size"
  | "entry"
  | "price"
  | "pnl"
  | "pnlPct"
  | "margin"
  | "held";

export interface Order {
  readonly column: Column;
  readonly descending: boolean;
}

export const FIRST_ORDER: Order = { column: "pair", descending: false };

/** The order after a column's heading was pressed: amounts begin with the largest, names with A. */
export function pressed(order: Order, column: Column): Order {
  if (order.column === column) return { column, descending: !order.descending };
  return { column, descending: column !== "pair" && column !== "side" };
}

/** Rows in an order; what is missing comes last, and equal rows stay in the order of their keys. */
export function sorted(rows: readonly Row[], { column, descending }: Order): readonly Row[] {
  const direction = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [sortable(a, column), sortable(b, column)];
    if (x === null || y === null) return x === y ? byKey(a, b) : x === null ? 1 : -1;
    return direction * order(x, y) || byKey(a, b);
  });
}

function sortable({ position }: Row, column: Column): string | number | null {
  // Who opened last was held shortest.
  return column === "held" ? negated(position.openedAt) : position[column];
}

function negated(ms: number | null): number | null {
  return ms === null ? null : -ms;
}

const NUMBER = /^[+-]?\d/;

function order(x: string | number, y: string | number): number {
  if (typeof x === "number" || typeof y === "number") return Number(x) - Number(y);
  if (NUMBER.test(x) && NUMBER.test(y)) return compare(x, y);
  return x < y ? -1 : Number(x > y);
}

function byKey(a: Row, b: Row): number {
  return a.key < b.key ? -1 : Number(a.key > b.key);
}
