// The payloads of producers/events.py, as the page reads them: money as decimal text, times in
// milliseconds, and null for what is not there.

import { readTime } from "../time/format.ts";
import { count, type Fields, fields, flag, money, oneOf, text } from "./reading.ts";

export type Mode = "paper" | "live";

export interface Portfolio {
  readonly equity: string | null;
  readonly balance: string | null;
  readonly available: string | null;
  readonly exposure: string | null;
  readonly realized: string | null;
  readonly unrealized: string | null;
  readonly currency: string;
  readonly platform: string;
  /** Null where nobody said: then it must be taken for live. */
  readonly mode: Mode | null;
}

export function readPortfolio(value: unknown): Portfolio {
  const given = fields(value);
  return {
    equity: money(given.equity),
    balance: money(given.balance),
    available: money(given.available),
    exposure: money(given.exposure),
    realized: money(given.realized_pnl),
    unrealized: money(given.unrealized_pnl),
    currency: text(given.currency) ?? "",
    platform: text(given.platform) ?? "",
    mode: oneOf(["paper", "live"], given.mode),
  };
}

export interface TradingPosition {
  readonly pair: string;
  readonly side: string;
  readonly size: string | null;
  readonly entry: string | null;
  readonly price: string | null;
  readonly pnl: string | null;
  readonly pnlPct: string | null;
  readonly margin: string | null;
  readonly openedAt: number | null;
}

export function readPosition(value: unknown): TradingPosition {
  const given = fields(value);
  return {
    pair: text(given.asset_pair) ?? "?",
    side: text(given.side) ?? "?",
    size: money(given.size),
    entry: money(given.entry_price),
    price: money(given.current_price),
    pnl: money(given.unrealized_pnl),
    pnlPct: money(given.unrealized_pnl_pct),
    margin: money(given.margin_used),
    openedAt: readTime(given.opened_at),
  };
}

export interface Decision {
  readonly id: string | null;
  readonly pair: string;
  readonly action: string;
  /** 0 to 100. */
  readonly confidence: number | null;
  readonly reasoning: string;
  readonly price: string | null;
  readonly size: string | null;
  readonly executed: boolean;
  readonly provider: string | null;
  readonly madeAt: number | null;
}

export function readDecision(value: unknown): Decision {
  const given = fields(value);
  const confidence = count(given.confidence);
  return {
    id: text(given.id),
    pair: text(given.asset_pair) ?? "?",
    action: text(given.action) ?? "?",
    confidence: confidence === null ? null : Math.min(100, Math.max(0, confidence)),
    reasoning: text(given.reasoning) ?? "",
    price: money(given.entry_price),
    size: money(given.size),
    executed: flag(given.executed),
    provider: text(given.provider),
    madeAt: readTime(given.timestamp),
  };
}

export interface Trade {
  readonly id: string;
  readonly pair: string;
  readonly action: string;
  readonly size: string | null;
  readonly price: string | null;
  readonly realized: string | null;
  readonly executedAt: number | null;
}

export function readTrade(value: unknown): Trade | null {
  const given = fields(value);
  const id = text(given.id);
  if (id === null) return null;
  return {
    id,
    pair: text(given.asset_pair) ?? "?",
    action: text(given.action) ?? "?",
    size: money(given.size),
    price: money(given.price),
    realized: money(given.realized_pnl),
    executedAt: readTime(given.executed_at),
  };
}

export interface AgentStatus {
  readonly state: string | null;
  readonly step: string | null;
  readonly paused: boolean;
  readonly uptimeMs: number | null;
  readonly decisions: number | null;
  readonly trades: number | null;
  readonly wins: number | null;
  readonly losses: number | null;
  readonly realized: string | null;
  /** The agent's own settings. */
  readonly config: Fields;
}

export function readStatus(value: unknown): AgentStatus {
  const given = fields(value);
  const totals = fields(given.totals);
  const seconds = count(given.uptime_seconds);
  return {
    state: text(given.state),
    step: text(given.ooda_state),
    paused: flag(given.paused),
    uptimeMs: seconds === null ? null : seconds * 1000,
    decisions: count(totals.decisions),
    trades: count(totals.trades),
    wins: count(totals.wins),
    losses: count(totals.losses),
    realized: money(totals.realized_pnl),
    config: fields(given.config),
  };
}

export type Severity = "info" | "warning" | "critical";

export interface Alert {
  readonly severity: Severity;
  readonly title: string;
  readonly detail: string;
  /** What the alerts of a rule that began and ended have in common; null of what an agent says. */
  readonly incident: string | null;
  /** Whether it says that something is over. */
  readonly isEnd: boolean;
}

export function readAlert(value: unknown): Alert {
  const given = fields(value);
  return {
    // What says nothing of its weight is not taken lightly.
    severity: oneOf(["info", "warning", "critical"], given.severity) ?? "warning",
    title: text(given.title) ?? "Alert",
    detail: text(given.detail) ?? "",
    incident: text(given.incident),
    isEnd: given.state === "resolved",
  };
}

/** The incidents that are over, by what these alerts say. */
export function endedIncidents(alerts: readonly unknown[]): ReadonlySet<string | null> {
  return new Set(
    alerts
      .map(readAlert)
      .filter(({ isEnd }) => isEnd)
      .map(({ incident }) => incident),
  );
}

/** A part of a producer, or one of its circuit breakers. */
export interface Part {
  readonly name: string;
  readonly state: string;
  readonly detail: string;
}

export interface Health {
  readonly state: string | null;
  readonly parts: readonly Part[];
}

export function readHealth(value: unknown): Health {
  const given = fields(value);
  return {
    state: text(given.state),
    parts: [
      ...Object.entries(fields(given.components)).map(([name, part]) => readPart(name, part)),
      ...Object.entries(fields(given.circuit_breakers)).map(([name, part]) =>
        readBreaker(name, fields(part)),
      ),
    ],
  };
}

function readPart(name: string, value: unknown): Part {
  const given = fields(value);
  return { name, state: text(given.state) ?? "?", detail: text(given.detail) ?? "" };
}

function readBreaker(name: string, given: Fields): Part {
  const failures = count(given.failures) ?? 0;
  const detail = failures > 0 ? `${failures} failed in a row` : "";
  return { name: `breaker ${name}`, state: text(given.state) ?? "?", detail };
}
