export type {
  Change,
  RecoveredChange,
  ResetChange,
  SnapshotChange,
  StateChange,
  UpdateChange,
} from "./changes.ts";
export type { ChangesOptions, Channel, Until } from "./channel.ts";
export { Client } from "./client.ts";
export { shouldReconnect } from "./codes.ts";
export { HubError } from "./errors.ts";
export type { State, Status, TokenReason } from "./link.ts";
export type {
  ChannelOptions,
  ClientOptions,
  Events,
  PublishOptions,
  Socket,
  SocketConstructor,
  Stats,
  TokenRequest,
} from "./options.ts";
export type { Kind, Position, PublishResult } from "./protocol.ts";
export type { Freshness, LogEntry, Snapshot } from "./store.ts";
