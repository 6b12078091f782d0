import { describe, expect, test } from "vitest";
import { Items, NO_FILTER, passes, view } from "../../src/app/feed/feed.ts";
import type { LogEntry } from "../../src/client/index.ts";

function entry(seq: number, data: unknown, event = "decision_made"): LogEntry<unknown> {
  return { seq, event, ts: seq * 1_000_000, data };
}

function made(seq: number, extra: object = {}) {
  return entry(seq, { id: `d${seq}`, action: "BUY", asset_pair: "BTCUSD", ...extra });
}

const keys = (items: readonly { key: string }[]) => items.map(({ key }) => key);

describe("items", () => {
  test("stand newest first, and keep their identity", () => {
    const items = new Items();
    const [one, two, three] = [made(1), made(2), made(3)];
    const before = items.of([one, two]);
    const after = items.of([one, two, three]);
    expect(keys(after)).toEqual(["d3", "d2", "d1"]);
    expect(after[2]).toBe(before[1]);
    expect(items.of([one, two])).not.toBe(before);
  });

  test("an update keeps its decision's place, and shows what it is now", () => {
    const items = new Items();
    const updated = entry(3, { id: "d1", action: "BUY", executed: true }, "decision_updated");
    const shown = items.of([made(1), made(2), updated]);
    expect(keys(shown)).toEqual(["d2", "d1"]);
    expect(shown[1]?.decision.executed).toBe(true);
    expect(keys(items.of([made(2), updated]))).toEqual(["d2", "d1"]);
  });

  test("what has no id is told apart by its place", () => {
    expect(keys(new Items().of([entry(1, null), entry(2, {})]))).toEqual(["#2", "#1"]);
  });
});

describe("what is read", () => {
  test("never shifts: new ones are counted, and not shown", () => {
    const items = new Items();
    const held = items.of([made(1), made(2)]);
    const all = items.of([made(1), made(2), made(3), made(4)]);
    expect(view(all, null, NO_FILTER)).toMatchObject({ unread: 0 });
    const { items: shown, unread } = view(all, held, NO_FILTER);
    expect(keys(shown)).toEqual(["d2", "d1"]);
    expect(unread).toBe(2);
  });

  test("stays though the log has forgotten it", () => {
    const items = new Items();
    const held = items.of([made(1), made(2)]);
    const { items: shown, unread } = view(items.of([made(8), made(9)]), held, NO_FILTER);
    expect(keys(shown)).toEqual(["d2", "d1"]);
    expect(unread).toBe(2);
  });

  test("is brought up to date in its place", () => {
    const items = new Items();
    const first = made(1);
    const held = items.of([first]);
    const all = items.of([first, entry(2, { id: "d1", action: "BUY", executed: true })]);
    const { items: shown, unread } = view(all, held, NO_FILTER);
    expect(shown[0]?.decision.executed).toBe(true);
    expect(unread).toBe(0);
  });

  test("counts only what passes the filter", () => {
    const items = new Items();
    const held = items.of([made(1)]);
    const all = items.of([made(1), made(2), made(3, { action: "SELL" })]);
    expect(view(all, held, { ...NO_FILTER, actions: ["SELL"] })).toMatchObject({
      items: [],
      unread: 1,
    });
  });
});

test("filters choose by action, by whether it was done, and by words", () => {
  const [item] = new Items().of([made(1, { reasoning: "Momentum turned", provider: "Mo" })]);
  if (item === undefined) throw new Error("expected an item");
  expect(passes({ ...NO_FILTER, actions: ["HOLD"] }, item)).toBe(false);
  expect(passes({ ...NO_FILTER, actions: ["HOLD", "BUY"] }, item)).toBe(true);
  expect(passes({ ...NO_FILTER, onlyExecuted: true }, item)).toBe(false);
  expect(passes({ ...NO_FILTER, search: "TURNED" }, item)).toBe(true);
  expect(passes({ ...NO_FILTER, search: "btc" }, item)).toBe(true);
  expect(passes({ ...NO_FILTER, search: "eth" }, item)).toBe(false);
});
