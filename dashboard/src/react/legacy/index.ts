// The hooks of dashboards of the old bot server, by their old names, arguments and shapes: a
// component moves from polling by changing its import alone. Money is a number here, as it was;
// `tapecast/react` has the same channels with every digit.

import { useCallback, useMemo } from "react";
import type { LogEntry } from "../../client/index.ts";
import * as hooks from "../hooks.ts";
import type { Live } from "../live.ts";
import type { AgentStatus, Decision, Portfolio, TradingPosition } from "../payloads.ts";
import * as updates from "../updates.ts";
import {
  type LegacyAgentStatus,
  type LegacyDecision,
  type LegacyHealth,
  type LegacyPortfolio,
  type LegacyPosition,
  legacyAgentStatus,
  legacyDecision,
  legacyDecisions,
  legacyHealth,
  legacyPortfolio,
  legacyPosition,
} from "./shapes.ts";

export type {
  LegacyAgentStatus,
  LegacyDecision,
  LegacyExecutionResult,
  LegacyHealth,
  LegacyHealthStatus,
  LegacyPortfolio,
  LegacyPosition,
  LegacyState,
  LegacyUnifiedStatus,
} from "./shapes.ts";

/** The account. */
export function usePortfolio(enabled = true): Live<LegacyPortfolio> {
  return hooks.usePortfolio({ enabled, select: legacyPortfolio });
}

/** The open positions. */
export function usePositions(enabled = true): Live<readonly LegacyPosition[]> {
  return hooks.usePositions({ enabled, select: legacyPositions });
}

/** The last decisions, newest first. */
export function useDecisions(limit = 10, enabled = true): Live<readonly LegacyDecision[]> {
  const select = useCallback(
    (newestFirst: readonly LogEntry<Decision>[]) => legacyDecisions(newestFirst).slice(0, limit),
    [limit],
  );
  return hooks.useLog<Decision, readonly LegacyDecision[]>("decisions", { enabled, select });
}

/** How the producer's parts are. */
export function useHealth(enabled = true): Live<LegacyHealth> {
  const health = hooks.useHealth({ enabled });
  const { data: uptime } = hooks.useAgentStatus({ enabled, select: uptimeOf });
  const { data: balance } = hooks.usePortfolio({ enabled, select: balanceOf });
  return useMemo(() => {
    const { data, isStale, updatedAt } = health;
    const shaped = data && legacyHealth(data, isStale, updatedAt, uptime, balance);
    return { ...health, data: shaped };
  }, [health, uptime, balance]);
}

const uptimeOf = ({ uptime_seconds }: AgentStatus) => uptime_seconds;
const balanceOf = ({ balance }: Portfolio) => balance;

/** Where the agent is; one that is silent has failed. */
export function useAgentStatus(enabled = true): Live<LegacyAgentStatus> {
  const status = hooks.useAgentStatus({ enabled });
  const { data: portfolio } = hooks.usePortfolio({ enabled });
  const { data: decisions } = useDecisions(1, enabled);
  return useMemo(() => {
    const { data, isStale, updatedAt } = status;
    const asOf = updatedAt === null ? "" : `, as of ${new Date(updatedAt).toISOString()}`;
    const error = isStale ? `The agent is not heard${asOf}.` : null;
    return { ...status, data: data && legacyAgentStatus(data, portfolio, decisions?.[0], error) };
  }, [status, portfolio, decisions]);
}

/** `useDecisions` with the arguments that this name had. */
export function useDecisionsRealTime(enabled = true, limit = 20): Live<readonly LegacyDecision[]> {
  return useDecisions(limit, enabled);
}

export {
  useHealth as useHealthStatusRealTime,
  usePortfolio as usePortfolioRealTime,
  usePositions as usePositionsRealTime,
};

/** Each portfolio as it comes, the one that there is first. */
export function usePortfolioUpdates(
  listener: (portfolio: LegacyPortfolio) => void,
  enabled = true,
): void {
  updates.usePortfolioUpdates((portfolio) => listener(legacyPortfolio(portfolio)), { enabled });
}

/** Each position that is opened, updated or closed from now on. */
export function usePositionUpdates(
  listener: (action: updates.PositionAction, position: LegacyPosition) => void,
  enabled = true,
): void {
  updates.usePositionUpdates((action, position) => listener(action, legacyPosition(position)), {
    enabled,
  });
}

/** Each decision that is made from now on; what became of it later is no decision. */
export function useDecisionUpdates(
  listener: (decision: LegacyDecision) => void,
  enabled = true,
): void {
  updates.useDecisionUpdates(
    (decision, { event, ts }) => {
      if (event !== "decision_updated") listener(legacyDecision(decision, ts));
    },
    { enabled },
  );
}

function legacyPositions(positions: readonly TradingPosition[]): readonly LegacyPosition[] {
  return positions.map(legacyPosition);
}
