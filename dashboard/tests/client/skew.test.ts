import { expect, test } from "vitest";
import { skewAfter } from "../../src/client/skew.ts";

test("a heartbeat that was long on its way says little of the hub's clock", () => {
  const quick = skewAfter(null, 3);
  expect(quick).toBe(3);
  expect(skewAfter(quick, 20_000)).toBe(13);
  expect(skewAfter(quick, 2)).toBe(2);
});

test("a clock that was set is believed: forward at once, back in the end", () => {
  expect(skewAfter(0, -60_000)).toBe(-60_000);
  let skew = 0;
  for (let n = 0; n < 1000; n += 1) skew = skewAfter(skew, 5000);
  expect(skew).toBe(5000);
});
