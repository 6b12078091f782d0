import { describe, expect, test } from "vitest";
import { pageMemory } from "../../src/app/data/memory.ts";
import { dayOpen, forgetDays } from "../../src/app/equity/day.ts";
import { EquityHistory, RANGES } from "../../src/app/equity/history.ts";
import { Tier } from "../../src/app/equity/tier.ts";

const NOON = new Date(2026, 0, 5, 12, 0, 0).getTime();
const MIDNIGHT = NOON - 12 * 3_600_000;
const HOUR = 3_600_000;

function texts(tier: Tier): string[] {
  return [...tier.texts];
}

describe("a tier", () => {
  test("keeps the last point of each step", () => {
    const tier = new Tier(1000, 10);
    for (const [at, text] of [
      [0, "1"],
      [400, "2"],
      [999, "3"],
      [1000, "4"],
    ] as const) {
      tier.add({ at, text });
    }
    expect(texts(tier)).toEqual(["3", "4"]);
    expect(tier.times).toEqual([0.999, 1]);
  });

  test("takes no point from before the last", () => {
    const tier = new Tier(1000, 10);
    tier.add({ at: 5000, text: "1" });
    tier.add({ at: 4000, text: "2" });
    expect(texts(tier)).toEqual(["1"]);
  });

  test("never grows beyond a tenth above its bound", () => {
    const tier = new Tier(1000, 100);
    for (let i = 0; i < 1000; i += 1) tier.add({ at: i * 1000, text: String(i) });
    expect(tier.times.length).toBeLessThanOrEqual(110);
    expect(tier.texts.at(-1)).toBe("999");
    expect(tier.times.length).toBe(tier.values.length);
  });

  test("what was before is put in front, and only that", () => {
    const tier = new Tier(1000, 10);
    tier.add({ at: 5000, text: "5" });
    tier.prepend([
      { at: 1000, text: "1" },
      { at: 2000, text: "2" },
      { at: 6000, text: "not before" },
    ]);
    expect(texts(tier)).toEqual(["1", "2", "5"]);
  });

  test("finds the last point at or before a time", () => {
    const tier = new Tier(1000, 10);
    for (const at of [1000, 2000, 4000]) tier.add({ at, text: String(at) });
    expect([500, 1000, 3999, 4000, 9000].map((at) => tier.indexAt(at))).toEqual([-1, 0, 1, 2, 2]);
    expect(tier.pointAt(-1)).toBeNull();
  });
});

describe("the course of equity", () => {
  test("what is far back is coarser, and what is near is whole", () => {
    const history = new EquityHistory();
    for (let at = NOON - 6 * HOUR; at <= NOON; at += 1000) {
      history.add({ at, text: String(at % 1000) });
    }
    const [five, , , six] = RANGES;
    expect(history.tierFor(five).stepMs).toBe(1000);
    expect(history.tierFor(six).stepMs).toBe(15_000);
    expect(history.first?.at).toBe(NOON - 6 * HOUR);
    expect(history.tierFor(six).times.length).toBe((6 * HOUR) / 15_000 + 1);
  });

  test("everything is shown as fine as it can be", () => {
    const history = new EquityHistory();
    history.add({ at: NOON, text: "1" });
    expect(history.tierFor(RANGES[5]).stepMs).toBe(1000);
  });

  test("drawdown is exact, from the highest of all that is known", () => {
    const history = new EquityHistory();
    expect(history.drawdown).toBeNull();
    history.add({ at: NOON, text: "10000.00000000000001" });
    history.add({ at: NOON + 1000, text: "9900" });
    expect(history.drawdown).toMatchObject({ amount: "-100.00000000000001", pct: "-1.00" });
    history.prepend([{ at: NOON - HOUR, text: "11000" }]);
    expect(history.drawdown).toMatchObject({ amount: "-1100", pct: "-10.00" });
  });

  test("a day opens with the last amount before it, else with the first of it", () => {
    const history = new EquityHistory();
    expect(history.openAt(MIDNIGHT)).toBeNull();
    history.add({ at: NOON, text: "3" });
    expect(history.openAt(MIDNIGHT)).toEqual({ at: NOON, text: "3" });
    history.add({ at: NOON + 10, text: "4" });
    expect(history.openAt(MIDNIGHT)).toEqual({ at: NOON, text: "3" });
    history.prepend([
      { at: MIDNIGHT - 2000, text: "1" },
      { at: MIDNIGHT, text: "2" },
    ]);
    expect(history.openAt(MIDNIGHT)).toEqual({ at: MIDNIGHT - 2000, text: "1" });
  });

  test("an older point than the last changes nothing", () => {
    const history = new EquityHistory();
    history.add({ at: NOON, text: "1" });
    history.add({ at: NOON - 1, text: "2" });
    expect(history.last).toEqual({ at: NOON, text: "1" });
  });
});

describe("the day's beginning", () => {
  const seen = { at: NOON, text: "100" };

  test("is remembered over reloads, as early as any page of this browser saw it", () => {
    const memory = pageMemory();
    expect(dayOpen(memory, "portfolio", NOON, seen)).toEqual(seen);
    const later = { at: NOON + HOUR, text: "150" };
    expect(dayOpen(memory, "portfolio", NOON + HOUR, later)).toMatchObject(seen);
    expect(dayOpen(memory, "portfolio:b", NOON + HOUR, later)).toEqual(later);
  });

  test("is forgotten with its day, and when somebody logs out", () => {
    const memory = pageMemory();
    dayOpen(memory, "portfolio", NOON, seen);
    const tomorrow = { at: NOON + 24 * HOUR, text: "200" };
    expect(dayOpen(memory, "portfolio", tomorrow.at, tomorrow)).toEqual(tomorrow);
    forgetDays(memory);
    const later = { at: tomorrow.at + HOUR, text: "250" };
    expect(dayOpen(memory, "portfolio", later.at, later)).toEqual(later);
  });

  test("what was before midnight needs no memory", () => {
    const before = { at: MIDNIGHT - 1, text: "90" };
    const memory = pageMemory();
    dayOpen(memory, "portfolio", NOON, seen);
    expect(dayOpen(memory, "portfolio", NOON, before)).toEqual(before);
  });

  test("nonsense in the memory is not believed", () => {
    for (const kept of [
      "{",
      "null",
      "[]",
      JSON.stringify({ portfolio: { day: MIDNIGHT, at: 1, text: "NaN" } }),
    ]) {
      const memory = pageMemory();
      memory.setItem("tapecast.day", kept);
      expect(dayOpen(memory, "portfolio", NOON, seen)).toEqual(seen);
    }
  });

  test("a browser without memory goes on", () => {
    const denied = () => {
      throw new Error("denied");
    };
    const memory = { getItem: denied, setItem: denied, removeItem: denied };
    expect(dayOpen(memory, "portfolio", NOON, seen)).toEqual(seen);
  });
});
