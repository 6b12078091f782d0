import { describe, expect, test } from "vitest";
import { between, newest, percentile, readCounts } from "../../src/app/hub/statistics.ts";

const ANSWER = {
  ts: 1_000_000_000,
  workers: 2,
  connections: 3,
  accepted: 10,
  delivered: 1000,
  delivered_bytes: 300_000,
  conflated: 5,
  received: 400,
  lag: { bounds_us: [1000, 2000, 5000], counts: [10, 10, 10, 10] },
  closes: { "1000": 4 },
  refusals: {},
  channels: [
    { name: "portfolio", kind: "value", head: {}, age_ms: 12, stale: false },
    { name: "status", kind: "value", head: {}, age_ms: null, stale: true },
    { kind: "log" },
  ],
};

function later(changes: object) {
  return readCounts({ ...ANSWER, ts: ANSWER.ts + 2_000_000, ...changes });
}

describe("between two counts", () => {
  const before = readCounts(ANSWER);

  test("rates are what they differ by, a second", () => {
    const after = later({ delivered: 1500, conflated: 9, received: 500, connections: 7 });
    expect(between(before, after)).toMatchObject({
      at: 1_002_000,
      deliveries: 250,
      conflated: 2,
      received: 50,
      connections: 7,
      stale: 1,
      lagP50: null,
    });
  });

  test("the lag is that of what was delivered in between", () => {
    const lag = { bounds_us: [1000, 2000, 5000], counts: [10, 14, 20, 20] };
    const sample = between(before, later({ lag }));
    expect(sample?.lagP50).toBeCloseTo(2.5);
    expect(sample?.lagP99).toBeCloseTo(4.95);
  });

  test("closes are those that were added, by code", () => {
    expect(between(before, later({ closes: { "1000": 5, "4401": 2 } }))?.closes).toEqual({
      "1000": 1,
      "4401": 2,
    });
  });

  test("a hub that began anew, or the same answer, says nothing", () => {
    expect(between(before, later({ delivered: 3 }))).toBeNull();
    expect(between(before, before)).toBeNull();
  });
});

describe("the newest of several counts", () => {
  const at = (seconds: number, delivered: number, closed: number) =>
    readCounts({
      ...ANSWER,
      ts: ANSWER.ts + seconds * 1_000_000,
      delivered,
      closes: { "1000": closed },
    });

  test("has rates over all of them, and what is gone by since the last", () => {
    const counts = [at(0, 1000, 4), at(1, 1010, 6), at(2, 1010, 6), at(3, 1030, 7)];
    expect(newest(counts)).toMatchObject({ deliveries: 10, closes: { "1000": 1 } });
  });

  test("is none where one of them is of a hub that began anew", () => {
    expect(newest([at(0, 1000, 4), at(1, 3, 0)])).toBeNull();
    expect(newest([at(0, 1000, 4), at(1, 3, 0), at(2, 9, 0)])).toBeNull();
    expect(newest([at(0, 1000, 4)])).toBeNull();
  });
});

describe("percentiles", () => {
  test("of nothing there are none", () => {
    expect(percentile([1000], [0, 0], 0.5)).toBeNull();
  });

  test("above all bounds the last bound is what can be said", () => {
    expect(percentile([1000, 2000], [0, 0, 7], 0.5)).toBe(2);
  });
});

test("an answer that is none is read as zeros", () => {
  expect(readCounts(null)).toMatchObject({ connections: 0, lagCounts: [], channels: [] });
});

test("channels without a name are no channels", () => {
  expect(readCounts(ANSWER).channels.map(({ name }) => name)).toEqual(["portfolio", "status"]);
});
