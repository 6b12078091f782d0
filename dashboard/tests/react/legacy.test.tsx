// @vitest-environment happy-dom
import { describe, expect, test } from "vitest";
import * as legacy from "../../src/react/legacy/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, pageOf, watcher, withPage } from "./page.tsx";

withPage();

const PORTFOLIO = {
  balance: "10000.00",
  equity: "10012.50",
  available: "9000.00",
  exposure: "1000.00",
  realized_pnl: "0",
  unrealized_pnl: "12.50",
  positions_count: 1,
  currency: "USD",
  platform: "paper",
  mode: "paper",
};

const POSITION = {
  id: "p1",
  asset_pair: "BTCUSD",
  side: "LONG",
  size: "0.5",
  entry_price: "87305.5",
  current_price: "87330.5",
  unrealized_pnl: "12.50",
  unrealized_pnl_pct: "0.0286",
  margin_used: "4365.275",
  opened_at: "2025-01-01T00:00:00Z",
};

const DECISION = {
  id: "d1",
  asset_pair: "BTCUSD",
  action: "BUY",
  confidence: 72,
  reasoning: "momentum",
  entry_price: "87305.5",
  size: "0.5",
  executed: false,
  provider: null,
  timestamp: "2025-01-01T00:00:00Z",
  metadata: {},
  extra: {},
};

const STATUS = {
  state: "RUNNING",
  ooda_state: "REASONING",
  paused: false,
  uptime_seconds: 61,
  totals: { decisions: 3, trades: 2, wins: 1, losses: 1, realized_pnl: "0" },
};

function desk(): FakeHub {
  const hub = new FakeHub();
  hub.set("portfolio", PORTFOLIO);
  hub.patch("positions", { upsert: { p1: POSITION } });
  hub.append("decisions", DECISION, "decision_made");
  hub.set("status", STATUS);
  hub.set("health", {
    state: "degraded",
    components: { market: { state: "ok", detail: null } },
    circuit_breakers: { losses: { state: "half_open", failures: 3 } },
  });
  return hub;
}

async function shown<R>(hook: () => R, hub: FakeHub = desk()): Promise<() => R> {
  const { Watch, now } = watcher(hook);
  pageOf(hub, <Watch />);
  await elapse(200);
  return now;
}

describe("what an old component reads", () => {
  test("a portfolio", async () => {
    const now = await shown(() => legacy.usePortfolio());
    expect(now().data).toEqual({
      balance: { total: 10000, available: 9000, currency: "USD" },
      active_positions: 1,
      platform: "paper",
      portfolio_value: 10012.5,
    });
    const hub = desk();
    hub.set("portfolio", { ...PORTFOLIO, max_concurrent_trades: 4 });
    const most = await shown(() => legacy.usePortfolioRealTime(), hub);
    expect(most().data?.max_concurrent_trades).toBe(4);
  });

  test("positions, whose sum is a sum", async () => {
    const hub = desk();
    hub.patch("positions", { upsert: { p2: { ...POSITION, id: "p2", unrealized_pnl: "-2.25" } } });
    const now = await shown(() => legacy.usePositions(), hub);
    expect(now().data?.[0]).toEqual({
      id: "p1",
      asset_pair: "BTCUSD",
      side: "LONG",
      size: 0.5,
      entry_price: 87305.5,
      current_price: 87330.5,
      unrealized_pnl: 12.5,
      unrealized_pnl_pct: 0.0286,
      margin_used: 4365.275,
    });
    expect(now().data?.reduce((sum, { unrealized_pnl }) => sum + unrealized_pnl, 0)).toBe(10.25);
  });

  test("what is no number is seen, and does not count as 0", async () => {
    const hub = desk();
    for (const broken of ["", "much", null, undefined]) {
      hub.patch("positions", { upsert: { p1: { ...POSITION, size: broken } } });
      const now = await shown(() => legacy.usePositionsRealTime(), hub);
      expect(now().data?.[0]?.size).toBeNaN();
    }
    hub.patch("positions", { upsert: { p1: { ...POSITION, size: 0.5 } } });
    const now = await shown(() => legacy.usePositionsRealTime(), hub);
    expect(now().data?.[0]?.size).toBe(0.5);
  });

  test("decisions, newest first, as many as were asked for", async () => {
    const hub = desk();
    hub.append("decisions", { ...DECISION, id: "d2" }, "decision_made");
    hub.append("decisions", { ...DECISION, executed: true }, "decision_updated");
    const bare = { confidence: null, reasoning: null, timestamp: null };
    hub.append("decisions", { ...DECISION, ...bare, id: "d3" }, "decision_made");
    const at = new Date().toISOString();
    const now = await shown(
      () => [legacy.useDecisions(), legacy.useDecisionsRealTime(true, 2)],
      hub,
    );
    const [all, two] = now();
    expect(all?.data?.map(({ decision_id }) => decision_id)).toEqual(["d3", "d2", "d1"]);
    expect(two?.data).toEqual(all?.data?.slice(0, 2));
    expect(all?.data?.[2]).toEqual({
      decision_id: "d1",
      id: "d1",
      asset_pair: "BTCUSD",
      action: "BUY",
      confidence: 72,
      reasoning: "momentum",
      timestamp: "2025-01-01T00:00:00Z",
      executed: true,
      execution_result: null,
    });
    expect(all?.data?.[0]).toMatchObject({ confidence: 0, reasoning: "", timestamp: at });
  });

  test("what became of a decision, wherever its program put it", async () => {
    const execution_result = { order_id: "o-1", status: "filled", fill_price: 87305.5 };
    for (const more of [
      { execution_result },
      { extra: { execution_result } },
      { metadata: { execution_result } },
    ]) {
      const hub = new FakeHub();
      hub.append("decisions", { ...DECISION, ...more }, "decision_made");
      const now = await shown(() => legacy.useDecisions(1), hub);
      expect(now().data?.[0]?.execution_result).toEqual(execution_result);
    }
  });

  test("what an agent publishes besides", async () => {
    const hub = desk();
    const config = { asset_pairs: ["BTCUSD"], autonomous: false };
    hub.set("status", { ...STATUS, state: "FAILED", config, error: "no quotes" });
    hub.set("portfolio", { ...PORTFOLIO, daily_pnl: "-3.50" });
    const now = await shown(() => legacy.useAgentStatus(), hub);
    expect(now().data).toMatchObject({
      error_message: "no quotes",
      daily_pnl: -3.5,
      config: { ...config, paused: false },
    });
  });

  test("the agent, of three channels", async () => {
    const now = await shown(() => legacy.useAgentStatus());
    expect(now().data).toEqual({
      state: "running",
      agent_ooda_state: "REASONING",
      unified_status: "active",
      status_description: "The agent is at work.",
      is_operational: true,
      uptime_seconds: 61,
      total_trades: 2,
      active_positions: 1,
      portfolio_value: 10012.5,
      daily_pnl: null,
      current_asset_pair: "BTCUSD",
      last_decision_time: "2025-01-01T00:00:00Z",
      error_message: null,
      config: { asset_pairs: [], autonomous: true, paused: false },
    });
  });

  test.each([
    [{ ooda_state: "IDLE" }, "running", "ready", true],
    [{ paused: true }, "running", "ready", false],
    [{ state: "PAUSED" }, "running", "ready", false],
    [{ state: "STARTING" }, "starting", "transitioning", false],
    [{ state: "STOPPED" }, "stopped", "offline", false],
    [{ state: "FAILED" }, "error", "error", false],
    [{ state: "DREAMING" }, "error", "error", false],
  ])("an agent that says %j", async (said, state, unified_status, is_operational) => {
    const hub = desk();
    hub.set("status", { ...STATUS, ...said });
    const now = await shown(() => legacy.useAgentStatus(), hub);
    expect(now().data).toMatchObject({ state, unified_status, is_operational });
  });

  test("a silent agent has failed, and its health is bad", async () => {
    const hub = desk();
    const now = await shown(() => [legacy.useAgentStatus(), legacy.useHealth()] as const, hub);
    hub.mark("status", "stale");
    hub.mark("health", "stale");
    await elapse(200);
    const [agent, health] = now();
    expect(agent.data).toMatchObject({ state: "error", is_operational: false });
    expect(agent.data?.error_message).toMatch(/^The agent is not heard, as of 20/);
    expect(health.data?.status).toBe("unhealthy");
  });

  test("health", async () => {
    const now = await shown(() => legacy.useHealthStatusRealTime());
    expect(now().data).toEqual({
      status: "degraded",
      timestamp: new Date(Date.now() - 200).toISOString(),
      uptime_seconds: 61,
      portfolio_balance: 10000,
      components: { market: { status: "healthy", message: null } },
      circuit_breakers: { losses: { state: "HALF_OPEN", failure_count: 3 } },
    });
  });

  test("nothing, before there is anything, and while disabled", async () => {
    const hub = desk();
    const now = await shown(
      () => [
        legacy.usePortfolio(false),
        legacy.usePositions(false),
        legacy.useDecisions(10, false),
        legacy.useHealth(false),
        legacy.useAgentStatus(false),
      ],
      hub,
    );
    for (const { data, isLoading } of now()) expect([data, isLoading]).toEqual([undefined, false]);
    expect(hub.heard.filter(({ method }) => method === "subscribe")).toEqual([]);
  });
});

test("what is told as it comes has the old shapes too", async () => {
  const told: unknown[] = [];
  const { Watch } = watcher(() => {
    legacy.usePortfolioUpdates(({ balance }) => told.push(balance.total));
    legacy.usePositionUpdates((action, { size }) => told.push([action, size]));
    legacy.useDecisionUpdates(({ decision_id }) => told.push(decision_id));
    legacy.useDecisionUpdates(() => told.push("never"), false);
  });
  const hub = desk();
  pageOf(hub, <Watch />);
  await elapse(1);
  expect(told.splice(0)).toEqual([10000]);
  hub.patch("positions", { delete: ["p1"] });
  hub.append("decisions", { ...DECISION, id: "d2" }, "decision_made");
  hub.append("decisions", { ...DECISION, executed: true }, "decision_updated");
  await elapse(1);
  expect(told).toEqual([["closed", 0.5], "d2"]);
});
