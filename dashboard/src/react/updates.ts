// Each change as it comes, for what must not be paced: a sound, a notification, a chart's points.
// Nothing is rendered, and the listener may be another one at each render.

import { useEffect } from "react";
import type { Change, LogEntry } from "../client/index.ts";
import { type Fold, newEntries, rowChanges, values } from "./folds.ts";
import { useLatest } from "./latest.ts";
import type { Decision, Portfolio, TradingPosition } from "./payloads.ts";
import { useClient } from "./provider.tsx";

/** Which changes are listened to. */
export interface UpdatesOptions {
  /** Which one of the stream's channels: `acct-7` is `positions:acct-7`. */
  readonly key?: string | undefined;
  /** Whether it is listened; true by default. */
  readonly enabled?: boolean | undefined;
}

/** Each change of a channel, in order and none left out, beginning with a snapshot. */
export function useChanges(
  channel: string,
  listener: (change: Change) => void,
  options?: UpdatesOptions,
): void {
  useFold(channel, direct, listener, options);
}

/** Each portfolio, the one that there is first. */
export function usePortfolioUpdates(
  listener: (portfolio: Portfolio) => void,
  options?: UpdatesOptions,
): void {
  useFold("portfolio", values<Portfolio>, listener, options);
}

const ACTIONS = { came: "opened", changed: "updated", went: "closed" } as const;

/** What became of a position; the market's marks update it too. */
export type PositionAction = (typeof ACTIONS)[keyof typeof ACTIONS];

/** Each position that is opened, updated or closed from now on; a closed one as it was last. */
export function usePositionUpdates(
  listener: (action: PositionAction, position: TradingPosition) => void,
  options?: UpdatesOptions,
): void {
  useFold("positions", positionChanges, listener, options);
}

function positionChanges(tell: (action: PositionAction, position: TradingPosition) => void): Fold {
  return rowChanges((what, row: TradingPosition) => tell(ACTIONS[what], row));
}

/** Each decision that is made or updated from now on; `entry.event` says which. */
export function useDecisionUpdates(
  listener: (decision: Decision, entry: LogEntry<Decision>) => void,
  options?: UpdatesOptions,
): void {
  useFold("decisions", decisions, listener, options);
}

function decisions(tell: (decision: Decision, entry: LogEntry<Decision>) => void): Fold {
  return newEntries((entry: LogEntry<Decision>) => tell(entry.data, entry));
}

function direct(tell: (change: Change) => void): Fold {
  return tell;
}

function useFold<Told extends unknown[]>(
  stream: string,
  fold: (tell: (...told: Told) => void) => Fold,
  listener: (...told: Told) => void,
  { key, enabled = true }: UpdatesOptions = {},
): void {
  const client = useClient();
  const latest = useLatest(listener);
  const name = key === undefined ? stream : `${stream}:${key}`;
  useEffect(() => {
    if (!enabled) return undefined;
    return client.channel(name).onChange(fold((...told) => latest.current(...told)));
  }, [client, name, fold, enabled, latest]);
}
