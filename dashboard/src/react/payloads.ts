// Generated from producers/events.py by `make types`, and compared with it by a test: don't edit.
//
// Money is a string, so that no digit is lost: read it as a decimal. Times are RFC 3339 in UTC.

/** What happened, by name. */
export type EventName = "portfolio_update" | "positions_update" | "decision_made" | "decision_updated" | "state_transition" | "order_updated" | "trade_executed" | "position_opened" | "position_updated" | "position_closed" | "status" | "health" | "error" | "alert";

export type Mode = "paper" | "live";

export type Side = "LONG" | "SHORT";

export type Action = "BUY" | "SELL" | "HOLD";

export type ProcessState = "STARTING" | "RUNNING" | "PAUSED" | "STOPPED" | "FAILED";

export type OodaState = "IDLE" | "PERCEPTION" | "REASONING" | "RISK_CHECK" | "EXECUTION" | "LEARNING";

export type HealthState = "ok" | "degraded" | "down";

export type BreakerState = "closed" | "open" | "half_open";

export type Severity = "info" | "warning" | "critical";

export type AlertState = "firing" | "resolved";

/** An account as a whole; all amounts in `currency`, None for what a platform does not say. */
export interface Portfolio {
  readonly balance: string;
  readonly equity: string;
  readonly available: string | null;
  readonly exposure: string | null;
  readonly realized_pnl: string | null;
  readonly unrealized_pnl: string | null;
  readonly positions_count: number;
  readonly currency: string;
  readonly platform: string;
  readonly mode: Mode;
}

/** One open position; `size` in the base asset, `unrealized_pnl_pct` of the entry value.
 *
 * None for what a platform does not say. */
export interface TradingPosition {
  readonly id: string;
  readonly asset_pair: string;
  readonly side: Side;
  readonly size: string;
  readonly entry_price: string;
  readonly current_price: string | null;
  readonly unrealized_pnl: string | null;
  readonly unrealized_pnl_pct: string | null;
  readonly margin_used: string | null;
  readonly opened_at: string | null;
}

/** What an agent decided, and later whether it was carried out.
 *
 * `metadata` is the deciding program's own; `extra` keeps the fields of a decision file that
 * have no name here, so that nothing is lost on the way. */
export interface Decision {
  readonly id: string;
  readonly asset_pair: string;
  readonly action: Action;
  readonly confidence: number | null;
  readonly reasoning: string | null;
  readonly entry_price: string | null;
  readonly size: string | null;
  readonly executed: boolean;
  readonly provider: string | null;
  readonly timestamp: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** What an agent did since it started. */
export interface Totals {
  readonly decisions: number;
  readonly trades: number;
  readonly wins: number;
  readonly losses: number;
  readonly realized_pnl: string;
}

/** Where an agent is: its process, its OODA loop, and its settings, which are its own. */
export interface AgentStatus {
  readonly state: ProcessState;
  readonly ooda_state: OodaState;
  readonly paused: boolean;
  readonly uptime_seconds: number;
  readonly totals: Totals;
  readonly config: Readonly<Record<string, unknown>>;
}

/** One part that can fail; `detail` says what is wrong. */
export interface Component {
  readonly state: HealthState;
  readonly detail: string | null;
}

/** A breaker, and the failures in a row that it counted. */
export interface CircuitBreaker {
  readonly state: BreakerState;
  readonly failures: number;
}

/** The parts and breakers of a producer, by name, and the worst of them as `state`. */
export interface Health {
  readonly state: HealthState;
  readonly components: Readonly<Record<string, Component>>;
  readonly circuit_breakers: Readonly<Record<string, CircuitBreaker>>;
}

/** A step of the OODA loop. */
export interface StateTransition {
  readonly from_state: OodaState;
  readonly to_state: OodaState;
  readonly reason: string | null;
}

/** An order as it stands at an exchange (event `order_updated`).
 *
 * `status` is the exchange's, in lower case: open, closed, canceled, rejected, expired; "unknown"
 * for one that is not open any more, where the exchange does not say what became of it. `price` is
 * None for one that takes what the market gives. */
export interface Order {
  readonly id: string;
  readonly asset_pair: string;
  readonly action: Action;
  readonly order_type: string | null;
  readonly size: string | null;
  readonly filled: string | null;
  readonly price: string | null;
  readonly status: string;
  readonly placed_at: string | null;
}

/** A fill; `realized_pnl` is what it closed, before its `fee`.
 *
 * None for what a platform does not say; a fee that is not in the currency of the price is none. */
export interface TradeExecuted {
  readonly id: string;
  readonly decision_id: string | null;
  readonly position_id: string | null;
  readonly asset_pair: string;
  readonly action: Action;
  readonly size: string;
  readonly price: string;
  readonly fee: string | null;
  readonly realized_pnl: string | null;
  readonly executed_at: string;
}

/** What went wrong (event `error`). */
export interface Failure {
  readonly component: string;
  readonly detail: string;
}

/** Something a person should look at.
 *
 * What a rule says has more: whether it begins or ends, the `incident` that both name, the channel
 * and the row of a table that it is about, and the value that met the limit. All of it is None in
 * what an agent says itself. */
export interface Alert {
  readonly severity: Severity;
  readonly title: string;
  readonly detail: string | null;
  readonly rule: string | null;
  readonly state: AlertState | null;
  readonly incident: string | null;
  readonly channel: string | null;
  readonly row: string | null;
  readonly value: string | null;
  readonly limit: string | null;
}
