// The shapes that dashboards of the old bot server read, made of what channels carry. The hub's
// old paths answer the same, but for this: what is no number is NaN here and null there. Old
// components compute with money; null would count as 0, and NaN is seen.

import type { LogEntry } from "../../client/index.ts";
import type {
  AgentStatus,
  Decision,
  Health,
  HealthState,
  OodaState,
  Portfolio,
  ProcessState,
  Side,
  TradingPosition,
} from "../payloads.ts";

export interface LegacyPortfolio {
  readonly balance: {
    readonly total: number;
    readonly available: number;
    readonly currency: string;
  };
  readonly active_positions: number;
  /** Left out where the producer does not publish it. */
  readonly max_concurrent_trades?: number;
  readonly platform: string;
  readonly portfolio_value: number;
}

export interface LegacyPosition {
  readonly id: string;
  readonly asset_pair: string;
  readonly side: Side;
  readonly size: number;
  readonly entry_price: number;
  readonly current_price: number;
  readonly unrealized_pnl: number;
  readonly unrealized_pnl_pct: number;
  readonly margin_used: number;
}

export interface LegacyDecision {
  readonly decision_id: string;
  readonly id: string;
  readonly asset_pair: string;
  readonly action: Decision["action"];
  readonly confidence: number;
  readonly reasoning: string;
  readonly timestamp: string;
  readonly executed: boolean;
  /** As the deciding program published it, in the decision or its metadata; null elsewhere. */
  readonly execution_result: LegacyExecutionResult | null;
}

export interface LegacyExecutionResult {
  readonly order_id?: string;
  readonly status?: string;
  readonly fill_price?: number;
}

export type LegacyState = "stopped" | "starting" | "running" | "stopping" | "error";

export type LegacyUnifiedStatus =
  | "offline"
  | "transitioning"
  | "initializing"
  | "ready"
  | "active"
  | "error";

export interface LegacyAgentStatus {
  readonly state: LegacyState;
  readonly agent_ooda_state: OodaState | null;
  readonly unified_status: LegacyUnifiedStatus;
  readonly status_description: string;
  readonly is_operational: boolean;
  readonly uptime_seconds: number | null;
  readonly total_trades: number;
  readonly active_positions: number;
  readonly portfolio_value: number | null;
  readonly daily_pnl: number | null;
  readonly current_asset_pair: string | null;
  readonly last_decision_time: string | null;
  readonly error_message: string | null;
  readonly config: {
    readonly asset_pairs: readonly string[];
    readonly autonomous: boolean;
    readonly paused: boolean;
  };
}

export type LegacyHealthStatus = "healthy" | "degraded" | "unhealthy";

export interface LegacyHealth {
  readonly status: LegacyHealthStatus;
  /** When it was published; null where that is not known. */
  readonly timestamp: string | null;
  readonly uptime_seconds: number | null;
  readonly portfolio_balance: number | null;
  readonly components: Readonly<
    Record<string, { readonly status: LegacyHealthStatus; readonly message: string | null }>
  >;
  readonly circuit_breakers: Readonly<
    Record<string, { readonly state: string; readonly failure_count: number }>
  >;
}

/** What a producer may publish besides. */
type More<T> = T & Readonly<Record<string, unknown>>;

export function legacyPortfolio(portfolio: Portfolio): LegacyPortfolio {
  const { max_concurrent_trades: most } = portfolio as More<Portfolio>;
  return {
    balance: {
      total: number(portfolio.balance),
      available: number(portfolio.available),
      currency: portfolio.currency,
    },
    active_positions: portfolio.positions_count,
    ...(typeof most === "number" ? { max_concurrent_trades: most } : {}),
    platform: portfolio.platform,
    portfolio_value: number(portfolio.equity),
  };
}

export function legacyPosition(position: TradingPosition): LegacyPosition {
  const { id, asset_pair, side } = position;
  return {
    id,
    asset_pair,
    side,
    size: number(position.size),
    entry_price: number(position.entry_price),
    current_price: number(position.current_price),
    unrealized_pnl: number(position.unrealized_pnl),
    unrealized_pnl_pct: number(position.unrealized_pnl_pct),
    margin_used: number(position.margin_used),
  };
}

/** A decision as it is now; `ts` is when it was published, in microseconds. */
export function legacyDecision(decision: Decision, ts: number): LegacyDecision {
  const { id, asset_pair, action, confidence, reasoning, timestamp, executed } = decision;
  return {
    decision_id: id,
    id,
    asset_pair,
    action,
    // Old components call methods of these unasked.
    confidence: confidence ?? 0,
    reasoning: reasoning ?? "",
    timestamp: timestamp ?? new Date(ts / 1000).toISOString(),
    executed,
    execution_result: executionResult(decision),
  };
}

function executionResult(decision: Decision): LegacyExecutionResult | null {
  for (const place of [decision as More<Decision>, decision.extra, decision.metadata]) {
    const found = place?.execution_result;
    if (typeof found === "object" && found !== null) return found;
  }
  return null;
}

/** Decisions, newest first, each once and as it is now, of entries that come so too. */
export function legacyDecisions(entries: readonly LogEntry<Decision>[]): LegacyDecision[] {
  const byId = new Map<string, LegacyDecision>();
  // Oldest first: an update takes the place that its decision has.
  for (const { ts, data } of [...entries].reverse()) byId.set(data.id, legacyDecision(data, ts));
  return [...byId.values()].reverse();
}

const STATES: Readonly<Record<ProcessState, LegacyState>> = {
  STARTING: "starting",
  RUNNING: "running",
  PAUSED: "running",
  STOPPED: "stopped",
  FAILED: "error",
};

const DESCRIPTIONS: Readonly<Record<LegacyUnifiedStatus, string>> = {
  offline: "The agent does not run.",
  transitioning: "The agent is starting.",
  initializing: "The agent is starting.",
  ready: "The agent waits for its next round.",
  active: "The agent is at work.",
  error: "The agent has failed.",
};

/**
 * An agent, of what it says of itself, its account and its newest decision. `error` says why that
 * may not be so any more: old components know no other word for it.
 */
export function legacyAgentStatus(
  status: AgentStatus,
  portfolio: Portfolio | undefined,
  newest: LegacyDecision | undefined,
  error: string | null,
): LegacyAgentStatus {
  const state = error === null ? (STATES[status.state] ?? "error") : "error";
  const paused = status.paused || status.state === "PAUSED";
  const unified = unifiedStatus(state, status.ooda_state, paused);
  const { daily_pnl } = (portfolio ?? {}) as { daily_pnl?: string };
  const { config, error: said } = status as AgentStatus & {
    config?: { asset_pairs?: readonly string[]; autonomous?: boolean };
    error?: string;
  };
  return {
    state,
    agent_ooda_state: state === "running" ? status.ooda_state : null,
    unified_status: unified,
    status_description: error ?? (paused ? "The agent is paused." : DESCRIPTIONS[unified]),
    is_operational: state === "running" && !paused,
    uptime_seconds: status.uptime_seconds,
    total_trades: status.totals.trades,
    active_positions: portfolio?.positions_count ?? 0,
    portfolio_value: portfolio === undefined ? null : number(portfolio.equity),
    daily_pnl: daily_pnl === undefined ? null : number(daily_pnl),
    current_asset_pair: newest?.asset_pair ?? null,
    last_decision_time: newest?.timestamp ?? null,
    error_message: error ?? said ?? null,
    config: {
      asset_pairs: config?.asset_pairs ?? [],
      autonomous: config?.autonomous !== false,
      paused,
    },
  };
}

function unifiedStatus(state: LegacyState, ooda: OodaState, paused: boolean): LegacyUnifiedStatus {
  if (state === "running") return paused || ooda === "IDLE" ? "ready" : "active";
  if (state === "starting") return "transitioning";
  return state === "stopped" ? "offline" : "error";
}

const HEALTH: Readonly<Record<HealthState, LegacyHealthStatus>> = {
  ok: "healthy",
  degraded: "degraded",
  down: "unhealthy",
};

/** How a producer's parts are; a silent one is not well, whatever it said. */
export function legacyHealth(
  { state, components, circuit_breakers }: Health,
  isStale: boolean,
  updatedAt: number | null,
  uptimeSeconds: number | undefined,
  balance: string | undefined,
): LegacyHealth {
  return {
    status: isStale ? "unhealthy" : (HEALTH[state] ?? "unhealthy"),
    timestamp: updatedAt === null ? null : new Date(updatedAt).toISOString(),
    uptime_seconds: uptimeSeconds ?? null,
    portfolio_balance: balance === undefined ? null : number(balance),
    components: mapped(components, (part) => ({
      status: HEALTH[part.state] ?? "unhealthy",
      message: part.detail,
    })),
    circuit_breakers: mapped(circuit_breakers, (breaker) => ({
      state: breaker.state.toUpperCase(),
      failure_count: breaker.failures,
    })),
  };
}

function mapped<From, To>(
  parts: Readonly<Record<string, From>>,
  to: (part: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, to(part)]));
}

/** The number that a text spells; `Number` would take "" for 0. */
function number(text: unknown): number {
  if (typeof text === "number") return text;
  return typeof text === "string" && text.trim() !== "" ? Number(text) : Number.NaN;
}
