import { expect, test } from "vitest";
import { Rate } from "../../src/client/rate.ts";

test("a steady stream has its rate, and silence brings it to nothing", () => {
  const rate = new Rate();
  for (let now = 0; now < 60_000; now += 10) rate.count(now);
  expect(rate.perSecond(60_000)).toBeCloseTo(100, 0);
  expect(rate.perSecond(65_000)).toBeCloseTo(100 / Math.E, 0);
  expect(rate.perSecond(120_000)).toBeCloseTo(0, 2);
});
