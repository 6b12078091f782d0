// The channels that every agent has, by name. `key` chooses one of several: `positions:acct-7`.
// What a channel carries is its producers' word: `T` says what the application expects.

import type { LogEntry, Snapshot } from "../client/index.ts";
import { type Live, type LiveOptions, useLive } from "./live.ts";
import type { AgentStatus, Decision, Health, Portfolio, TradingPosition } from "./payloads.ts";
import { decisionsIn, entriesIn, type Identified, rowsIn, valueIn } from "./views.ts";

/** The account as a whole. */
export function usePortfolio<T extends object = Portfolio, S = T>(
  options?: LiveOptions<T, S>,
): Live<S> {
  return useLive<T, T, S>("portfolio", valueIn, options);
}

/** The open positions; one that did not change is the same object as before. */
export function usePositions<T extends object = TradingPosition, S = readonly T[]>(
  options?: LiveOptions<readonly T[], S>,
): Live<S> {
  return useLive<T, readonly T[], S>("positions", rowsIn, options);
}

/** The last decisions, newest first, each as it is now: `executed` may have come later. */
export function useDecisions<T extends Identified = Decision, S = readonly T[]>(
  options?: LiveOptions<readonly T[], S>,
): Live<S> {
  return useLive<T, readonly T[], S>("decisions", decisionsIn, options);
}

/** How the producer's parts are, and its circuit breakers. */
export function useHealth<T extends object = Health, S = T>(options?: LiveOptions<T, S>): Live<S> {
  return useLive<T, T, S>("health", valueIn, options);
}

/** Where the agent is: its process, and its loop. */
export function useAgentStatus<T extends object = AgentStatus, S = T>(
  options?: LiveOptions<T, S>,
): Live<S> {
  return useLive<T, T, S>("status", valueIn, options);
}

/** The value of any channel that carries one. */
export function useValue<T, S = T>(channel: string, options?: LiveOptions<T, S>): Live<S> {
  return useLive<T, T, S>(channel, valueIn, options);
}

/** The rows of any table. */
export function useTable<T, S = readonly T[]>(
  channel: string,
  options?: LiveOptions<readonly T[], S>,
): Live<S> {
  return useLive<T, readonly T[], S>(channel, rowsIn, options);
}

/** The entries of any log, newest first. */
export function useLog<T, S = readonly LogEntry<T>[]>(
  channel: string,
  options?: LiveOptions<readonly LogEntry<T>[], S>,
): Live<S> {
  return useLive<T, readonly LogEntry<T>[], S>(channel, entriesIn, options);
}

/** A channel of any kind, as the client's store shows it. */
export function useChannel<T, S = Snapshot<T>>(
  channel: string,
  options?: LiveOptions<Snapshot<T>, S>,
): Live<S> {
  return useLive<T, Snapshot<T>, S>(channel, itself, options);
}

function itself<T>(snapshot: Snapshot<T>): Snapshot<T> {
  return snapshot;
}

// The names that these hooks had in dashboards of the old bot server.
export {
  useDecisions as useDecisionsRealTime,
  useHealth as useHealthStatusRealTime,
  usePortfolio as usePortfolioRealTime,
  usePositions as usePositionsRealTime,
};
