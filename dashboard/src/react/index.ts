export { useAge } from "./age.ts";
export { type Commands, type CommandsOptions, useCommands } from "./commands.ts";
export {
  type ConnectionStatusResult,
  useConnectionStats,
  useConnectionStatus,
  useWebSocket,
  type WebSocketOptions,
  type WebSocketResult,
} from "./connection.ts";
export {
  useAgentStatus,
  useChannel,
  useDecisions,
  useDecisionsRealTime,
  useHealth,
  useHealthStatusRealTime,
  useLog,
  usePortfolio,
  usePortfolioRealTime,
  usePositions,
  usePositionsRealTime,
  useTable,
  useValue,
} from "./hooks.ts";
export type { Live, LiveOptions } from "./live.ts";
export type {
  Action,
  AgentStatus,
  Alert,
  AlertState,
  BreakerState,
  CircuitBreaker,
  Decision,
  EventName,
  Failure,
  Health,
  HealthState,
  Mode,
  OodaState,
  Portfolio,
  ProcessState,
  Severity,
  Side,
  StateTransition,
  Totals,
  TradeExecuted,
  TradingPosition,
} from "./payloads.ts";
export {
  ConnectionProvider,
  type ConnectionProviderProps,
  type GivenConnectionProps,
  type OwnConnectionProps,
  useClient,
} from "./provider.tsx";
export { CHANNEL_QUERY, channelKey, queryClient } from "./queries.ts";
export type { CommandRecord } from "./records.ts";
export type { Attempt, AttemptState, SendOptions } from "./sender.ts";
export {
  ConnectionBadge,
  ConnectionStatus,
  type ConnectionStatusProps,
  FloatingConnectionStatus,
  type StateLabels,
} from "./status.tsx";
export {
  type PositionAction,
  type UpdatesOptions,
  useChanges,
  useDecisionUpdates,
  usePortfolioUpdates,
  usePositionUpdates,
} from "./updates.ts";
