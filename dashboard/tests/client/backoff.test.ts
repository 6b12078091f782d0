import { expect, test } from "vitest";
import { fullJitter } from "../../src/client/backoff.ts";

const bounds = { minDelayMs: 1000, maxDelayMs: 30_000 };

test("the bound doubles from the first delay to the longest", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 2000].map((failures) =>
    fullJitter(failures, { ...bounds, random: () => 1 }),
  );
  expect(longest).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("the delay is anywhere below the bound", () => {
  expect(fullJitter(3, { ...bounds, random: () => 0 })).toBe(0);
  expect(fullJitter(3, { ...bounds, random: () => 0.25 })).toBe(2000);
});
