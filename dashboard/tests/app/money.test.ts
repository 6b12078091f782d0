import { describe, expect, test } from "vitest";
import { compare, decimal, minus, percentOf, signOf } from "../../src/app/money/decimal.ts";
import { asText, showDecimal } from "../../src/app/money/format.ts";

describe("decimals", () => {
  test("what is no plain decimal is nothing", () => {
    for (const text of [
      "",
      "NaN",
      "Infinity",
      "1e5",
      "0x1f",
      "1,000",
      " 1",
      "1.",
      "--1",
      null,
      {},
    ]) {
      expect(decimal(text)).toBeNull();
    }
    expect(decimal(Number.NaN)).toBeNull();
    expect(decimal("-0012.30")).toBe("-0012.30");
    expect(decimal(0.1)).toBe("0.1");
  });

  test("differences have every digit, where floats would lose some", () => {
    expect(minus("10000000000000000.03", "10000000000000000.01")).toBe("0.02");
    expect(minus("0.3", "0.1")).toBe("0.2");
  });

  test("amounts that are one float are still told apart", () => {
    expect(compare("9007199254740993.1", "9007199254740993.2")).toBe(-1);
    expect(compare("1.50", "1.5")).toBe(0);
    expect(compare("2", "-3")).toBe(1);
  });

  test("a sign is that of the digits", () => {
    expect(["-0.00", "0", "-0.01", "7"].map(signOf)).toEqual([0, 0, -1, 1]);
  });

  test("per cent is rounded once, half to even, and nothing is a part of nothing", () => {
    expect(percentOf("1", "3")).toBe("33.33");
    expect(percentOf("0.00125", "1")).toBe("0.12");
    expect(percentOf("0.00135", "1")).toBe("0.14");
    expect(percentOf("1", "0")).toBeNull();
    expect(percentOf("1", "-5")).toBeNull();
  });
});

describe("what is shown", () => {
  test("digits are grouped, and those beyond the places stand by themselves", () => {
    expect(showDecimal("1234567.8912", { places: 2 })).toEqual({
      main: "1,234,567.89",
      rest: "12",
    });
    expect(showDecimal("0000.5", { places: 2 })).toEqual({ main: "0.50", rest: "" });
    expect(showDecimal("81791.4")).toEqual({ main: "81,791.4", rest: "" });
  });

  test("no digit is lost, however many there are", () => {
    expect(asText("1234568.00000000000000001", { places: 2 })).toBe("1,234,568.00000000000000001");
  });

  test("signs are shown where there is something to sign", () => {
    expect(asText("-6.50")).toBe("\u22126.50");
    expect(asText("6.50", { signed: true })).toBe("+6.50");
    expect(asText("-0.00", { signed: true })).toBe("0.00");
  });
});
