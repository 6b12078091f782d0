import { describe, expect, test } from "vitest";
import { accountKeys, accountOf } from "../../src/app/data/accounts.ts";
import {
  endedIncidents,
  readAlert,
  readDecision,
  readHealth,
  readPortfolio,
  readPosition,
  readStatus,
  readTrade,
} from "../../src/app/data/payloads.ts";

const NONSENSE = [undefined, null, 7, "text", [], [1], { equity: {}, totals: 3, components: [] }];

describe("payloads", () => {
  test("nonsense is read as nothing, and breaks nothing", () => {
    for (const value of NONSENSE) {
      expect(readPortfolio(value).equity).toBeNull();
      expect(readPosition(value).pnl).toBeNull();
      expect(readDecision(value).confidence).toBeNull();
      expect(readStatus(value).decisions).toBeNull();
      expect(readHealth(value).parts).toEqual([]);
      expect(readTrade(value)).toBeNull();
      expect(readAlert(value).title).toBe("Alert");
    }
  });

  test("a portfolio that does not say whether it is real is not taken for paper", () => {
    expect(readPortfolio({ equity: "1", mode: "demo" }).mode).toBeNull();
    expect(readPortfolio({ mode: "live" }).mode).toBe("live");
  });

  test("money that is no decimal is missing", () => {
    expect(readPortfolio({ equity: "NaN", balance: "12.50" })).toMatchObject({
      equity: null,
      balance: "12.50",
    });
  });

  test("confidence stays within its scale", () => {
    expect(readDecision({ confidence: 130 }).confidence).toBe(100);
    expect(readDecision({ confidence: "72" }).confidence).toBeNull();
  });

  test("an alert without a weight is not taken lightly", () => {
    expect(readAlert({ title: "x", severity: "fatal" }).severity).toBe("warning");
  });

  test("an incident is over once an alert says so", () => {
    const alerts = [
      { state: "firing", incident: "a" },
      { state: "firing", incident: "b" },
      { state: "resolved", incident: "a" },
      { title: "of an agent" },
    ];
    expect([...endedIncidents(alerts)]).toEqual(["a"]);
  });

  test("breakers stand beside the parts, with what failed", () => {
    const { parts } = readHealth({
      state: "degraded",
      components: { market: { state: "ok", detail: null } },
      circuit_breakers: { losses: { state: "open", failures: 3 } },
    });
    expect(parts).toEqual([
      { name: "market", state: "ok", detail: "" },
      { name: "breaker losses", state: "open", detail: "3 failed in a row" },
    ]);
  });
});

describe("accounts", () => {
  test("their keys come from portfolios and positions", () => {
    const names = ["portfolio:b", "positions:a", "decisions:c", "portfolio", "orders:a:1"];
    expect(accountKeys(names)).toEqual(["", "a", "b"]);
  });

  test("the one without a key has the streams' own names", () => {
    expect(accountOf("").alerts).toBe("alerts");
    expect(accountOf("acct-7").positions).toBe("positions:acct-7");
  });
});
