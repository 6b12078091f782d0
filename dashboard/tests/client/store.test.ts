import { expect, test } from "vitest";
import type { Change } from "../../src/client/changes.ts";
import type { Kind, Snapshot, Update } from "../../src/client/protocol.ts";
import { Store } from "../../src/client/store.ts";
import { golden } from "../vectors.ts";

const LIVE = { state: "live", staleSince: null, error: null } as const;

function store(kind: Kind, history?: number): Store {
  const made = new Store(history);
  made.become(kind);
  return made;
}

function change(frame: Snapshot | Update): Change {
  const { type, ts, data, epoch = "", seq = 0, tag = "" } = frame;
  const position = { epoch, seq, tag };
  if (type === "snapshot") return { type, position, ts, data };
  const { event, skipped = 0, prev = seq - 1 } = frame;
  return { type, event, position, prev, skipped, ts, data };
}

function applied(made: Store, ...frames: unknown[]): Store {
  for (const frame of frames) made.apply(change(frame as Update));
  made.freeze(LIVE);
  return made;
}

function row(seq: number, data: unknown): Update {
  return { type: "update", channel: "c", event: "e", epoch: "e1", seq, tag: "t", ts: seq, data };
}

test("golden frames make a value", () => {
  const [snapshot] = golden("snapshot");
  const [conflated] = golden("conflated");
  const { shown } = applied(store("value"), snapshot, conflated);
  expect(shown).toMatchObject({
    state: "live",
    kind: "value",
    skipped: 8,
    ts: 1_700_000_000_000_000,
  });
  expect(shown.value).toEqual({ balance: "10000.00" });
});

test("golden frames make a table", () => {
  const [, snapshot] = golden("snapshot");
  const [, conflated] = golden("conflated");
  const made = applied(store("table"), snapshot);
  expect([...made.shown.rows.keys()]).toEqual(["p-1", 'p "2"']);
  made.apply(change(conflated as Update));
  made.apply(change(row(1851, { upsert: {}, delete: ['p "2"'] })));
  made.freeze(LIVE);
  expect([...made.shown.rows]).toEqual([["p-1", { size: "0.5" }]]);
});

test("golden frames make a log", () => {
  const [, , , snapshot] = golden("snapshot");
  const { shown } = applied(store("log"), snapshot, row(3, { id: "d-3" }));
  expect(shown.entries.map(({ seq, event }) => [seq, event])).toEqual([
    [1, "decision_made"],
    [2, "decision_made"],
    [3, "e"],
  ]);
});

test("a log keeps so many entries and no more", () => {
  const made = store("log", 2);
  for (let seq = 1; seq <= 4; seq += 1) made.apply(change(row(seq, seq)));
  made.freeze(LIVE);
  expect(made.shown.entries.map(({ data }) => data)).toEqual([3, 4]);
});

test("what is shown is the same object until something changed", () => {
  const made = applied(store("table"), row(1, { upsert: { a: { n: "1" } }, delete: [] }));
  const { shown } = made;
  expect(made.freeze(LIVE)).toBe(false);
  expect(made.shown).toBe(shown);
  expect(made.freeze({ ...LIVE, state: "stale", staleSince: 5 })).toBe(true);
  expect(made.shown.rows).toBe(shown.rows);
});

test("what was shown does not change under whoever holds it, and rows keep their identity", () => {
  const upsert = { a: { n: "1" }, b: { n: "1" } };
  const made = applied(store("table"), row(1, { upsert, delete: [] }));
  const before = made.shown.rows;
  applied(made, row(2, { upsert: { b: { n: "2" } }, delete: [] }));
  expect(before.get("b")).toEqual({ n: "1" });
  expect(made.shown.rows.get("b")).toEqual({ n: "2" });
  expect(made.shown.rows.get("a")).toBe(before.get("a"));
});

test("a channel of another kind shows nothing of what it was", () => {
  const made = applied(store("table"), row(1, { upsert: { a: 1 }, delete: [] }));
  made.become("log");
  expect(made.isFilled).toBe(false);
  made.freeze(LIVE);
  expect(made.shown).toMatchObject({ kind: "log", position: null, ts: 0, entries: [] });
  expect(made.shown.rows.size).toBe(0);
});

test("a reset is counted, and a foreign publish changes nothing", () => {
  const made = applied(store("value"), row(1, "a"));
  const last = { epoch: "e1", seq: 1, tag: "t" };
  made.apply({ type: "reset", cause: "history", last });
  made.apply({
    type: "update",
    event: "e",
    position: null,
    prev: null,
    skipped: 0,
    ts: 1,
    data: "x",
  });
  made.freeze(LIVE);
  expect(made.shown).toMatchObject({ resets: 1, value: "a", position: null });
});

test.each([
  ["table", "snapshot", { rows: null }],
  ["table", "snapshot", "text"],
  ["table", "update", { upsert: 1 }],
  ["log", "snapshot", { entries: {} }],
  ["log", "snapshot", null],
] as const)("data that does not suit a %s is refused in a %s", (kind, type, data) => {
  expect(() => applied(store(kind), { ...row(1, data), type })).toThrow(TypeError);
});
