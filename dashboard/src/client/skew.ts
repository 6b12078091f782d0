/** How much later, at each heartbeat, the hub's clock may turn out to be against this one's. */
const DRIFT_MS = 10;

/**
 * This machine's clock minus the hub's, after one more heartbeat. One that was long on its way,
 * behind what a slow line had to carry, looks like a hub whose clock is late, and would make old
 * numbers young: the quickest is right, and a clock that was set is believed in the end.
 */
export function skewAfter(before: number | null, skewMs: number): number {
  return Math.min(skewMs, (before ?? skewMs) + DRIFT_MS);
}
