import { expect, test } from "vitest";
import {
  asDuration,
  asMoment,
  asShortClock,
  readTime,
  startOfDay,
} from "../../src/app/time/format.ts";

const NOON = new Date(2026, 0, 5, 12, 0, 0).getTime();

test("durations have at most two units", () => {
  const seconds = [-5, 0, 59, 60, 3599, 3600, 3 * 3600 + 300, 2 * 86_400 + 4 * 3600];
  expect(seconds.map((each) => asDuration(each * 1000))).toEqual([
    ...["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "3 h 5 min", "2 d 4 h"],
  ]);
});

test("a moment of another day says which", () => {
  expect(asMoment(NOON, NOON + 1000)).toBe("12:00:00");
  expect(asMoment(NOON - 86_400_000, NOON)).toBe("4 Jan 12:00:00");
  expect(asShortClock(NOON)).toBe("12:00");
});

test("a day begins at the viewer's midnight", () => {
  expect(startOfDay(NOON)).toBe(NOON - 12 * 3_600_000);
});

test("what is no time is none", () => {
  expect(readTime("2026-01-02T03:04:05Z")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
  expect(readTime("soon")).toBeNull();
  expect(readTime(5)).toBeNull();
});
