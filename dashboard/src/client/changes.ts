import type { Position } from "./protocol.ts";

/** The whole state at a position; it replaces whatever was known before. */
export interface SnapshotChange {
  readonly type: "snapshot";
  readonly position: Position;
  /** Of the newest change, in microseconds since the epoch (UTC); 0 where there is none. */
  readonly ts: number;
  readonly data: unknown;
}

/** One change, or after conflation one that stands for several. */
export interface UpdateChange {
  readonly type: "update";
  readonly event: string;
  /** Null for a foreign publish, which is live only. */
  readonly position: Position | null;
  /** The seq that it follows; null for a foreign publish. */
  readonly prev: number | null;
  /** How many changes were conflated into this one, itself not counted. */
  readonly skipped: number;
  readonly ts: number;
  readonly data: unknown;
}

/** Continuity ends here, and a snapshot follows. */
export interface ResetChange {
  readonly type: "reset";
  /**
   * `history`: it was lost or forked, and begins anew. `missed`: what lies between could not be
   * had. `overflow`: this listener was too slow for what came.
   */
  readonly cause: "history" | "missed" | "overflow";
  /** Where it ended. */
  readonly last: Position;
}

/** The channel was away and goes on: what was missed follows, all of it. */
export interface RecoveredChange {
  readonly type: "recovered";
  readonly since: Position;
}

/** The channel's producer missed its deadline, or is back. */
export interface StateChange {
  readonly type: "state";
  readonly state: "live" | "stale";
  /** In microseconds since the epoch (UTC); null where it happened while nobody looked. */
  readonly since: number | null;
}

/** What a channel yields, in order and without a hole. */
export type Change = SnapshotChange | UpdateChange | ResetChange | RecoveredChange | StateChange;
