/** How long to wait before the next attempt. */
export interface Backoff {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** Gives fractions from 0 to 1. */
  readonly random: () => number;
}

/**
 * Milliseconds to wait after `failures` in a row, counted from 0: anywhere between nothing and a
 * bound that doubles, so that pages that lost the same hub don't come back in the same moment.
 */
export function fullJitter(failures: number, { minDelayMs, maxDelayMs, random }: Backoff): number {
  return random() * Math.min(maxDelayMs, minDelayMs * 2 ** failures);
}
