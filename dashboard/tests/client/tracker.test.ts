import { expect, test } from "vitest";
import type { Change } from "../../src/client/changes.ts";
import type {
  Channel,
  Kind,
  Position,
  Snapshot,
  SubscribeResult,
  Update,
} from "../../src/client/protocol.ts";
import { Tracker } from "../../src/client/tracker.ts";
import { golden, vectors } from "../vectors.ts";

const channel = "positions";

function at(seq: number, epoch = "e1"): Position {
  return { epoch, seq, tag: seq === 0 ? "" : `t${seq}` };
}

function answer(seq: number, options: Partial<SubscribeResult> = {}): SubscribeResult {
  const { epoch, tag } = at(seq);
  const fields = { kind: "table" as Kind, stale: false, recovered: false, interval_ms: 0 };
  return { channel, epoch, seq, tag, ...fields, ...options };
}

function snapshot(seq: number, epoch = "e1"): Snapshot {
  return { type: "snapshot", channel, ...at(seq, epoch), ts: seq, data: { rows: {} } };
}

function update(seq: number, options: Partial<Update> = {}): Update {
  return { type: "update", channel, event: "e", ...at(seq), ts: seq, data: null, ...options };
}

function types(changes: readonly Change[]): string[] {
  return changes.map(({ type }) => type);
}

/** A tracker that was answered without `since` and got its snapshot. */
function following(seq: number, kind: Kind = "table"): Tracker {
  const tracker = new Tracker();
  tracker.ask();
  tracker.answer(answer(seq, { kind }));
  tracker.receive(snapshot(seq));
  return tracker;
}

test("nothing counts before the answer", () => {
  const tracker = new Tracker();
  expect(tracker.receive(snapshot(1))).toEqual([]);
  expect(tracker.ask()).toBeNull();
  expect(tracker.receive(snapshot(1))).toEqual([]);
  expect(tracker.answer(answer(3))).toEqual([]);
  expect(tracker.receive(update(4))).toEqual([]);
  expect(types(tracker.receive(snapshot(3)))).toEqual(["snapshot"]);
  expect(tracker.position).toEqual(at(3));
});

test("updates that follow count, and duplicates are dropped", () => {
  const tracker = following(3);
  expect(types(tracker.receive(update(4)))).toEqual(["update"]);
  expect(tracker.receive(update(4))).toEqual([]);
  expect(tracker.receive(update(2))).toEqual([]);
  expect(tracker.position).toEqual(at(4));
});

test("a conflated update counts from its prev on, and says what it skipped", () => {
  const tracker = following(3);
  const [change] = tracker.receive(update(9, { prev: 3, skipped: 5 }));
  expect(change).toMatchObject({ type: "update", prev: 3, skipped: 5, position: at(9) });
  expect(types(tracker.receive(update(12, { prev: 7, skipped: 4 })))).toEqual(["update"]);
});

test("the first entry of any epoch follows an empty channel", () => {
  const tracker = new Tracker();
  tracker.ask();
  tracker.answer(answer(0, { epoch: "" }));
  tracker.receive({ ...snapshot(0), epoch: "" });
  expect(types(tracker.receive(update(1)))).toEqual(["update"]);
});

test("a hole is asked for from the position, and found again there, for a snapshot", () => {
  const tracker = following(3);
  expect(tracker.receive(update(5))).toEqual([]);
  expect(tracker.stage).toBe("hole");
  expect(tracker.ask()).toEqual(at(3));
  expect(types(tracker.answer(answer(5, { recovered: true })))).toEqual(["recovered"]);
  expect(tracker.receive(update(5))).toEqual([]);
  expect(tracker.ask()).toBeNull();
  const changes = tracker.answer(answer(5));
  expect(changes).toEqual([{ type: "reset", cause: "missed", last: at(3) }]);
});

test("a hole that was mended and comes again is asked for from where it is", () => {
  const tracker = following(3);
  tracker.receive(update(5));
  tracker.ask();
  tracker.answer(answer(5, { recovered: true }));
  tracker.receive(update(4));
  tracker.receive(update(5));
  tracker.receive(update(7));
  expect(tracker.stage).toBe("hole");
  expect(tracker.ask()).toEqual(at(5));
});

test("another epoch is a hole", () => {
  const tracker = following(3);
  expect(tracker.receive(update(4, { epoch: "e2" }))).toEqual([]);
  expect(tracker.stage).toBe("hole");
});

test("a head that two heartbeats name and that was not reached is a hole", () => {
  const tracker = following(3);
  tracker.heartbeat(3);
  tracker.heartbeat(5);
  expect(tracker.stage).toBe("following");
  tracker.receive(update(4));
  tracker.heartbeat(6);
  expect(tracker.stage).toBe("hole");
});

test("a head that is reached by the next heartbeat is none", () => {
  const tracker = following(3);
  tracker.heartbeat(4);
  tracker.receive(update(4));
  tracker.heartbeat(5);
  expect(tracker.stage).toBe("following");
});

test("what can't be recovered is announced before its snapshot", () => {
  const tracker = following(3);
  tracker.rest();
  expect(tracker.ask()).toEqual(at(3));
  expect(tracker.answer(answer(9))).toEqual([{ type: "reset", cause: "missed", last: at(3) }]);
  expect(tracker.receive(update(10))).toEqual([]);
  expect(types(tracker.receive(snapshot(10)))).toEqual(["snapshot"]);
});

test("a recovered channel is caught up when it reaches where the hub stood", () => {
  const tracker = following(3);
  tracker.rest();
  tracker.ask();
  tracker.answer(answer(5, { recovered: true }));
  expect(tracker.isCaughtUp).toBe(false);
  tracker.receive(update(4));
  expect(tracker.isCaughtUp).toBe(false);
  tracker.receive(update(5));
  expect(tracker.isCaughtUp).toBe(true);
});

test("after a reset a channel is caught up wherever the new history stands", () => {
  // It used to wait for where the hub stood in the old history.
  const tracker = following(3);
  tracker.rest();
  tracker.ask();
  tracker.answer(answer(9, { recovered: true }));
  tracker.receive({ type: "channel", channel, state: "reset", since: 1, kind: "table" });
  tracker.receive(snapshot(1, "e2"));
  expect(tracker.isCaughtUp).toBe(true);
});

test("a reset is announced with its kind, and its snapshot follows", () => {
  const tracker = following(3);
  const [frame] = golden("channel_reset") as Channel[];
  if (frame === undefined) throw new Error("a golden frame is missing");
  expect(tracker.receive(frame)).toEqual([{ type: "reset", cause: "history", last: at(3) }]);
  expect([tracker.kind, tracker.stage]).toEqual(["value", "behind"]);
  expect(tracker.receive(update(4))).toEqual([]);
  expect(types(tracker.receive(snapshot(0, "e2")))).toEqual(["snapshot"]);
});

test("a reset that does not say its kind is asked about", () => {
  const tracker = following(3);
  const reset = { type: "channel", channel, state: "reset", since: 1 } as const;
  expect(tracker.receive(reset)).toEqual([{ type: "reset", cause: "history", last: at(3) }]);
  expect(tracker.stage).toBe("hole");
  expect(tracker.ask()).toBeNull();
  expect(tracker.receive(snapshot(0, "e2"))).toEqual([]);
  tracker.answer(answer(0, { kind: "log", epoch: "e2" }));
  expect(tracker.kind).toBe("log");
  expect(types(tracker.receive(snapshot(0, "e2")))).toEqual(["snapshot"]);
});

test("what is recovered of another kind is asked for again", () => {
  const tracker = following(3);
  tracker.rest();
  tracker.ask();
  expect(types(tracker.answer(answer(4, { recovered: true, kind: "log" })))).toEqual(["reset"]);
  expect(tracker.stage).toBe("behind");
});

test.each([
  ["table", 9, "e1", ["snapshot"]],
  ["value", 9, "e1", ["snapshot"]],
  ["log", 9, "e1", ["reset", "snapshot"]],
  ["table", 2, "e1", ["reset", "snapshot"]],
  ["table", 9, "e2", ["reset", "snapshot"]],
] as const)(
  "an unannounced snapshot of a %s at seq %i of %s is %j",
  (kind, seq, epoch, expected) => {
    const tracker = following(3, kind);
    expect(types(tracker.receive(snapshot(seq, epoch)))).toEqual(expected);
  },
);

test("staleness is told once, and that it ended while nobody looked", () => {
  const tracker = following(3);
  const stale = { type: "channel", channel, state: "stale", since: 7 } as const;
  expect(tracker.receive(stale)).toEqual([{ type: "state", state: "stale", since: 7 }]);
  expect(tracker.receive(stale)).toEqual([]);
  tracker.rest();
  tracker.ask();
  const changes = tracker.answer(answer(3, { recovered: true }));
  expect(changes[0]).toEqual({ type: "state", state: "live", since: null });
});

test("a foreign publish is told and moves nothing", () => {
  const tracker = following(3);
  const [frame] = golden("foreign") as Update[];
  if (frame === undefined) throw new Error("a golden frame is missing");
  expect(tracker.receive(frame)).toMatchObject([{ type: "update", position: null, data: "hello" }]);
  expect(tracker.position).toEqual(at(3));
});

test.each(vectors("envelopes").chains.map((chain) => [chain.name, chain.entries] as const))(
  "the golden chain %j is followed from its beginning",
  (_name, entries) => {
    const tracker = new Tracker();
    tracker.ask();
    tracker.answer(answer(0, { epoch: "" }));
    tracker.receive({ ...snapshot(0), epoch: "" });
    const frames = entries.map(({ text }) => JSON.parse(text) as Update);
    const changes = frames.flatMap((frame) => tracker.receive(frame));
    const followed = frames.filter(({ seq }, index) => seq === index + 1);
    expect(types(changes)).toEqual(followed.map(() => "update"));
  },
);
