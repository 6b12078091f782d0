// Money is text on the wire and stays text: what has to be computed is computed in decimals, so
// that no digit on the screen ever came from a binary fraction.

import Big from "big.js";

// A constructor of our own: division is rounded once, to the two places that are shown.
const Exact = Big();
Exact.DP = 2;
Exact.RM = 2;

const DECIMAL = /^[+-]?\d{1,100}(?:\.\d{1,100})?$/;

/** A decimal in plain notation, as payloads carry money; null for what is none. */
export function decimal(value: unknown): string | null {
  if (typeof value === "number") return Number.isFinite(value) ? Exact(value).toFixed() : null;
  return typeof value === "string" && DECIMAL.test(value) ? value : null;
}

/** -1, 0 or 1. */
export function signOf(text: string): -1 | 0 | 1 {
  if (!/[1-9]/.test(text)) return 0;
  return text.startsWith("-") ? -1 : 1;
}

export function compare(a: string, b: string): -1 | 0 | 1 {
  if (a === b) return 0;
  // Floats that differ clearly tell the order; the others are compared digit by digit.
  const [x, y] = [Number(a), Number(b)];
  if (Math.abs(x - y) > 1e-9 * Math.max(Math.abs(x), Math.abs(y))) return x < y ? -1 : 1;
  return Exact(a).cmp(b);
}

/** `a - b`, exactly. */
export function minus(a: string, b: string): string {
  return Exact(a).minus(b).toFixed();
}

/** What `part` is of `whole` in per cent, to two places, half to even; null of nothing. */
export function percentOf(part: string, whole: string): string | null {
  if (signOf(whole) <= 0) return null;
  return Exact(part).times(100).div(whole).toFixed(2);
}
