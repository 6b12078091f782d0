import { describe, expect, test } from "vitest";
import type { Change, LogEntry } from "../../src/client/index.ts";
import { newEntries, rowChanges, values } from "../../src/react/folds.ts";

function snapshot(seq: number, data: unknown, epoch = "e1"): Change {
  return { type: "snapshot", position: { epoch, seq, tag: `${seq}` }, ts: seq, data };
}

function update(seq: number, data: unknown, event = "update"): Change {
  const position = { epoch: "e1", seq, tag: `${seq}` };
  return { type: "update", event, position, prev: seq - 1, skipped: 0, ts: seq, data };
}

function foreign(data: unknown): Change {
  return { type: "update", event: "x", position: null, prev: null, skipped: 0, ts: 1, data };
}

const reset: Change = { type: "reset", cause: "missed", last: { epoch: "e1", seq: 1, tag: "1" } };

describe("values", () => {
  test("each is told, the one that there is first, and nothing is none", () => {
    const told: unknown[] = [];
    const fold = values((value) => told.push(value));
    for (const change of [snapshot(0, null), update(1, "a"), reset, snapshot(5, "b")]) fold(change);
    expect(told).toEqual(["a", "b"]);
  });
});

describe("rows", () => {
  function told(...changes: Change[]): string[] {
    const lines: string[] = [];
    const fold = rowChanges<{ n: number }>((what, { n }) => lines.push(`${what} ${n}`));
    for (const change of changes) fold(change);
    return lines;
  }
  const first = snapshot(1, { rows: { a: { n: 1 }, b: { n: 2 } } });

  test("those that are there at first did not come", () => {
    expect(told(first)).toEqual([]);
  });

  test("upserts and deletes are told, a row that went as it was", () => {
    const change = update(2, { upsert: { a: { n: 9 }, c: { n: 3 } }, delete: ["b", "z"] });
    expect(told(first, change)).toEqual(["went 2", "changed 9", "came 3"]);
  });

  test("a row that is published as it was did not change", () => {
    expect(told(first, update(2, { upsert: { a: { n: 1 } }, delete: [] }))).toEqual([]);
  });

  test("after a break what differs is told", () => {
    const later = snapshot(9, { rows: { b: { n: 2 }, a: { n: 7 }, d: { n: 4 } } });
    expect(told(first, reset, later)).toEqual(["changed 7", "came 4"]);
    expect(told(first, reset, snapshot(9, { rows: {} }))).toEqual(["went 1", "went 2"]);
  });

  test("a foreign publish is no row, and nothing counts before the first snapshot", () => {
    const change = update(2, { upsert: { c: { n: 3 } }, delete: [] });
    expect(told(change, first, foreign({ n: 1 }))).toEqual([]);
  });
});

describe("entries", () => {
  function entry(seq: number): LogEntry<number> {
    return { seq, event: "made", ts: seq, data: seq };
  }

  function told(...changes: Change[]): number[] {
    const seqs: number[] = [];
    const fold = newEntries<number>(({ seq, data }) => {
      expect(data).toBe(seq);
      seqs.push(seq);
    });
    for (const change of changes) fold(change);
    return seqs;
  }
  const first = snapshot(2, { entries: [entry(1), entry(2)] });

  test("those that are there at first are not new, each later one is", () => {
    expect(told(first, update(3, 3, "made"), update(4, 4))).toEqual([3, 4]);
  });

  test("after a break those beyond it are new, and none is told twice", () => {
    const later = snapshot(5, { entries: [entry(2), entry(3), entry(4), entry(5)] });
    expect(told(first, update(3, 3), reset, later, update(6, 6))).toEqual([3, 4, 5, 6]);
  });

  test("a history that begins anew is new as a whole", () => {
    expect(told(first, reset, snapshot(1, { entries: [entry(1)] }, "e2"))).toEqual([1]);
  });

  test("a foreign publish has no place among them", () => {
    expect(told(first, foreign(7))).toEqual([]);
  });
});
