// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { Pacer } from "../../src/app/chart/pacer.ts";
import { shownOf } from "../../src/app/chart/window.ts";
import { EquityHistory, RANGES } from "../../src/app/equity/history.ts";
import { pass, withFakeTime } from "../setup.ts";

withFakeTime();

const NOW = 1_700_000_000_000;

describe("the pace of drawing", () => {
  function rig(everyMs = 100) {
    const draw = vi.fn();
    vi.stubGlobal("requestAnimationFrame", (run: () => void) => run());
    return { draw, pacer: new Pacer(draw, () => everyMs) };
  }

  test("a thousand changes a second are ten drawings", async () => {
    const { draw, pacer } = rig();
    pacer.isSeen = true;
    for (let i = 0; i < 1000; i += 1) {
      pacer.mark();
      await pass(1);
    }
    expect(draw.mock.calls.length).toBeGreaterThanOrEqual(9);
    expect(draw.mock.calls.length).toBeLessThanOrEqual(11);
  });

  test("nothing is drawn while nobody sees it, and the newest when somebody does", async () => {
    const { draw, pacer } = rig();
    pacer.mark();
    await pass(1000);
    expect(draw).not.toHaveBeenCalled();
    pacer.isSeen = true;
    await pass(1);
    expect(draw).toHaveBeenCalledOnce();
  });

  test("what was hidden in between is drawn when it is seen again", async () => {
    const { draw, pacer } = rig();
    pacer.isSeen = true;
    pacer.mark();
    await pass(1);
    pacer.mark();
    pacer.isSeen = false;
    await pass(1000);
    pacer.isSeen = true;
    await pass(1);
    expect(draw).toHaveBeenCalledTimes(2);
  });

  test("nothing is drawn where nothing changed, nor after its end", async () => {
    const { draw, pacer } = rig();
    pacer.isSeen = true;
    await pass(1000);
    pacer.mark();
    pacer.stop();
    await pass(1000);
    expect(draw).not.toHaveBeenCalled();
  });
});

describe("what a range shows", () => {
  function history(points: number, everyMs = 1000) {
    const made = new EquityHistory();
    for (let i = points - 1; i >= 0; i -= 1) made.add({ at: NOW - i * everyMs, text: String(i) });
    return made;
  }

  const [five, fifteen] = RANGES;

  test("nothing where nothing is known", () => {
    expect(shownOf(new EquityHistory(), five, NOW)).toBeNull();
  });

  test("begins at its edge, with the amount of before", () => {
    const shown = shownOf(history(1000), five, NOW);
    expect(shown?.from).toBe(NOW / 1000 - 300);
    expect(shown?.data[0][0]).toBe(NOW / 1000 - 300);
    expect(shown?.data[0]).toHaveLength(302);
  });

  test("holds the last amount up to now, where it is known to be true", () => {
    const shown = shownOf(history(1000), five, NOW + 7000);
    expect([shown?.data[0].at(-1), shown?.data[1]?.at(-1)]).toEqual([NOW / 1000 + 7, 0]);
    expect(shownOf(history(1000), five, 0)?.to).toBe(NOW / 1000);
  });

  test("begins with what is known, where that is shorter, but is never a moment", () => {
    expect(shownOf(history(120), fifteen, NOW)?.from).toBe(NOW / 1000 - 119);
    expect(shownOf(history(1), fifteen, NOW)?.from).toBe(NOW / 1000 - 30);
  });
});
