import { expect, test } from "vitest";
import { Pace } from "../../src/client/pace.ts";

test("the first change is told at once, the next ones together after the interval", () => {
  const pace = new Pace<string>(100, 1000);
  expect(pace.deadline).toBe(Number.POSITIVE_INFINITY);
  pace.mark("a");
  expect(pace.take(50)).toEqual(["a"]);
  pace.mark("a");
  pace.mark("b");
  pace.mark("a");
  expect(pace.take(149)).toEqual([]);
  expect(pace.deadline).toBe(150);
  expect(pace.take(150)).toEqual(["a", "b"]);
  expect(pace.take(1000)).toEqual([]);
});

test("while nobody looks it is told once a second, and at once when somebody looks again", () => {
  const pace = new Pace<string>(100, 1000);
  pace.hidden = true;
  pace.mark("a");
  expect(pace.take(0)).toEqual(["a"]);
  pace.mark("a");
  expect(pace.take(900)).toEqual([]);
  pace.hidden = false;
  expect(pace.take(900)).toEqual(["a"]);
});
