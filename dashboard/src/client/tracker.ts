// One subscription's place in its channel. No I/O; the rules are those of docs/protocol.md:
//
// 1. Between asking and the answer, nothing of the channel counts: it belongs to an older
//    subscription.
// 2. After the answer either what was missed follows (`recovered`), or a snapshot. A position that
//    was held and could not be recovered is given up and announced as a reset.
// 3. An update counts when it follows the position: same epoch, and `prev` at or before it. One at
//    or before the position is a duplicate. Any other is a hole: ask again from the position.
// 4. A head that a heartbeat names, and that is not reached by the next one, is a hole too.
// 5. A hole at the position where one was found already, with nothing received in between, can't
//    be mended by asking from there: ask for a snapshot.
// 6. An empty channel stands at seq 0 and its history has no name; the first entry of any epoch
//    follows it.
// 7. A history that begins anew is announced with its kind, which may be another; its snapshot
//    follows. Where the kind is missing, only the answer to a subscribe says it: ask again.

import type { Change, ResetChange } from "./changes.ts";
import type * as wire from "./protocol.ts";

/**
 * What a tracker waits for: to be asked for (`idle`, or `hole` where something is missing), the
 * answer (`asked`), a snapshot (`behind`), or the next update (`following`).
 */
export type Stage = "idle" | "asked" | "behind" | "following" | "hole";

/** A channel, where the subscription stands in it, and what it waits for. */
export class Tracker {
  stage: Stage = "idle";
  position: wire.Position | null = null;
  kind: wire.Kind | null = null;
  /** Whether the channel's producer missed its deadline, as far as was heard. */
  stale = false;
  #since: wire.Position | null = null;
  #holeAt: wire.Position | null = null;
  /** The head that the last heartbeat named, where it was not reached then. */
  #overdue: number | null = null;
  /** Where the channel stood when the hub answered. */
  #head = 0;

  /** Begin, or begin again; returns the position to ask from, null for a snapshot. */
  ask(): wire.Position | null {
    const inHole = this.stage === "hole";
    const foundBefore = inHole && this.#holeAt !== null && this.#holeAt === this.position;
    this.#since = foundBefore ? null : this.position;
    if (inHole) this.#holeAt = this.position;
    this.stage = "asked";
    this.#overdue = null;
    return this.#since;
  }

  /** Wait to be asked for: what comes of the channel meanwhile does not count. */
  rest(): void {
    this.stage = "idle";
  }

  /** What was received could not be taken: only a snapshot will do. */
  forget(): void {
    this.position = null;
    this.stage = "idle";
  }

  /** Whether the position is up to where the channel stood when the hub answered. */
  get isCaughtUp(): boolean {
    return this.stage === "following" && this.position !== null && this.position.seq >= this.#head;
  }

  /** Take the answer to the subscribe; returns what the application must hear. */
  answer(result: wire.SubscribeResult): Change[] {
    const changes: Change[] = [];
    const sameKind = this.kind === null || this.kind === result.kind;
    this.kind = result.kind;
    if (this.stale && !result.stale) changes.push(this.#state("live", null));
    if (result.recovered && this.#since !== null && sameKind) {
      this.stage = "following";
      this.#head = result.seq;
      return [...changes, { type: "recovered", since: this.#since }];
    }
    this.stage = "behind";
    return [...changes, ...this.#giveUp("missed")];
  }

  /** Take a frame of the channel; returns what to tell, in order. Look at `stage` afterwards. */
  receive(frame: wire.Snapshot | wire.Update | wire.Channel): Change[] {
    if (this.stage === "idle" || this.stage === "asked") return [];
    if (frame.type === "update") return this.#update(frame);
    if (frame.type === "snapshot") return this.#snapshot(frame);
    if (frame.state === "reset") {
      this.stage = frame.kind === undefined ? "hole" : "behind";
      this.kind = frame.kind ?? this.kind;
      return this.#giveUp("history");
    }
    const stale = frame.state === "stale";
    return stale === this.stale ? [] : [this.#state(frame.state, frame.since)];
  }

  /** Compare the head that a heartbeat names with the position. Look at `stage` afterwards. */
  heartbeat(head: number): void {
    if (this.stage !== "following" || this.position === null) return;
    const { seq } = this.position;
    if (this.#overdue !== null && seq < this.#overdue) this.stage = "hole";
    else this.#overdue = seq < head ? head : null;
  }

  #update(frame: wire.Update): Change[] {
    const { event, ts, data, skipped = 0 } = frame;
    if (this.stage !== "following") return [];
    if (frame.seq === undefined) {
      return [{ type: "update", event, ts, data, position: null, prev: null, skipped }];
    }
    const at = this.position;
    if (at === null) return [];
    const position = positionOf(frame);
    const prev = frame.prev ?? position.seq - 1;
    if (!isOneHistory(at, position) || prev > at.seq) {
      this.stage = "hole";
      return [];
    }
    if (position.seq <= at.seq) return [];
    this.position = position;
    return [{ type: "update", event, ts, data, position, prev, skipped }];
  }

  #snapshot(frame: wire.Snapshot): Change[] {
    const at = this.position;
    const position = positionOf(frame);
    const changes: Change[] = [];
    if (this.stage === "following" && at !== null) {
      // A value or table that nobody announced anew was conflated into its whole state; of a log
      // that would be a loss.
      const conflated = this.kind !== "log" && isOneHistory(at, position);
      if (!conflated || position.seq < at.seq) changes.push(...this.#giveUp("missed"));
    }
    this.stage = "following";
    this.position = position;
    return [...changes, { type: "snapshot", position, ts: frame.ts, data: frame.data }];
  }

  #state(state: "live" | "stale", since: number | null): Change {
    this.stale = state === "stale";
    return { type: "state", state, since };
  }

  #giveUp(cause: ResetChange["cause"]): Change[] {
    // From here on only a snapshot will do, also on another connection.
    const last = this.position;
    this.position = null;
    this.#head = 0;
    return last === null ? [] : [{ type: "reset", cause, last }];
  }
}

function positionOf({ epoch = "", seq = 0, tag = "" }: wire.Snapshot | wire.Update): wire.Position {
  return { epoch, seq, tag };
}

function isOneHistory(at: wire.Position, later: wire.Position): boolean {
  return later.epoch === at.epoch || (at.epoch === "" && at.seq === 0);
}
