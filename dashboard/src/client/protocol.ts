// Generated from hub/protocol by `make types`, and compared with it by a test: don't edit.

/** The sub-protocol that a client offers. */
export const SUBPROTOCOL = "tapecast.v1";
/** The longest interval of a subscription. */
export const MAX_INTERVAL_MS = 60000;
/** The most entries that a log's snapshot has. */
export const MAX_HISTORY = 300;
/** What a hub takes as one text frame, where its settings were left as they are. */
export const MAX_COMMAND_BYTES = 65536;

// What a close frame or an error says.

/** The client ended the connection, or the hub after it. */
export const NORMAL = 1000;
/** The hub ends; another replica takes over. */
export const GOING_AWAY = 1001;
/** A frame breaks RFC 6455. */
export const PROTOCOL_BREACH = 1002;
/** A binary message; this protocol is text only. */
export const UNSUPPORTED = 1003;
/** The link broke without a close frame; never sent. */
export const ABNORMAL = 1006;
/** A text message that is not UTF-8. */
export const BAD_TEXT = 1007;
/** A message larger than the hub's frame bound. */
export const TOO_BIG = 1009;
/** The hub failed on this connection. */
export const INTERNAL = 1011;
/** The hub restarts or is drained. */
export const RESTART = 1012;
/** The hub holds as many connections as it may. */
export const TRY_LATER = 1013;
/** Not a command, or with parameters that cannot be. */
export const BAD_REQUEST = 4400;
/** The token is missing, refused or at its end. */
export const UNAUTHORIZED = 4401;
/** The token, or the page's origin, lacks the right. */
export const FORBIDDEN = 4403;
/** No such method, channel or path. */
export const NOT_FOUND = 4404;
/** No token came before the deadline. */
export const AUTH_TIMEOUT = 4408;
/** The channel was recorded as another kind. */
export const KIND_MISMATCH = 4409;
/** The data is larger than may be published. */
export const TOO_LARGE = 4413;
/** The data must not be published as it is. */
export const INVALID_DATA = 4422;
/** More than this connection may have. */
export const TOO_MANY = 4429;
/** The hub could not answer; the request may be sent again. */
export const FAILED = 4500;
/** The broker is out of reach just now. */
export const UNAVAILABLE = 4503;
/** More waited for the client than its outbox holds. */
export const TOO_SLOW = 4508;

/** By a code's number, whether a client reconnects or repeats its command unchanged. */
export const RECONNECT: Readonly<Record<number, boolean>> = {
  1000: false,
  1001: true,
  1002: false,
  1003: false,
  1006: true,
  1007: false,
  1009: false,
  1011: true,
  1012: true,
  1013: true,
  4400: false,
  4401: false,
  4403: false,
  4404: false,
  4408: false,
  4409: false,
  4413: false,
  4422: false,
  4429: false,
  4500: true,
  4503: true,
  4508: true,
};

/** What a channel carries; snapshot, resume and conflation follow from it. */
export type Kind = "value" | "table" | "log";

/** The kinds of the streams that are known from the start. */
export const KNOWN_KINDS: Readonly<Record<string, Kind>> = {
  portfolio: "value",
  positions: "table",
  decisions: "log",
  agent: "log",
  status: "value",
  health: "value",
  alerts: "log",
  commands: "log",
};

/** What the hub knows of a channel's producer. */
export type ChannelState = "live" | "stale" | "reset";

/** Where a command is; the last three are its end, and there is one. */
export type CommandState = "sent" | "accepted" | "done" | "failed" | "expired";

/** `seq` counts a channel's accepted publishes, `epoch` names the history that it counts in,
 * `tag` chains the entry to the one before it. An empty channel stands at seq 0 with tag "". */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
  readonly tag: string;
}

/** The first frame on a connection, sent before the hub has looked at the token. */
export interface Welcome {
  readonly type: "welcome";
  readonly session: string;
  readonly heartbeat_ms: number;
  readonly version: string;
}

/** The whole state at a position: the value, `Rows` or `Entries`. */
export interface Snapshot {
  readonly type: "snapshot";
  readonly channel: string;
  readonly epoch: string;
  readonly seq: number;
  readonly tag: string;
  readonly ts: number;
  readonly data: unknown;
}

/** One change, or with `prev` one that stands for all after it: the value, `Changes` or the
 * entry's data. Without `seq` it is a foreign publish, live only. */
export interface Update {
  readonly type: "update";
  readonly channel: string;
  readonly event: string;
  readonly ts: number;
  readonly data: unknown;
  readonly epoch?: string;
  readonly seq?: number;
  readonly tag?: string;
  readonly prev?: number;
  readonly skipped?: number;
}

/** What became of a channel's producer, or of its history, at `since`; a history that begins
 * anew says its `kind`. */
export interface Channel {
  readonly type: "channel";
  readonly channel: string;
  readonly state: ChannelState;
  readonly since: number;
  readonly kind?: Kind;
}

/** The hub lives; `heads` says by channel up to which seq its client should have been served. */
export interface Heartbeat {
  readonly type: "heartbeat";
  readonly ts: number;
  readonly heads: Readonly<Record<string, number>>;
}

/** Something about the hub itself; `code` is `shutdown`. */
export interface Notice {
  readonly type: "notice";
  readonly code: string;
  readonly in_ms: number;
  readonly spread_ms: number;
}

/** Why a command was not carried out, and whether it may succeed later. */
export interface Failure {
  readonly code: number;
  readonly message: string;
  readonly retry: boolean;
}

/** The answer to the command with this id, a result or an error; an error without an id
 * answers a text that was no command. */
export interface Reply {
  readonly id: number | null;
  readonly result?: unknown;
  readonly error?: Failure;
}

/** Whom the token names, and when it ends in seconds since the epoch, null for never. */
export interface AuthResult {
  readonly subject: string;
  readonly expires_at: number | null;
}

/** Where the channel stands, what it carries, and whether what was missed follows. */
export interface SubscribeResult {
  readonly channel: string;
  readonly epoch: string;
  readonly seq: number;
  readonly tag: string;
  readonly kind: Kind;
  readonly stale: boolean;
  readonly recovered: boolean;
  readonly interval_ms: number;
}

/** A command that was sent: its steps carry the id, and follow its position. */
export interface SentCommand {
  readonly id: string;
  readonly state: CommandState;
  readonly expires_at: number;
}

/** Where the publish stands; unchanged, it is that of what it equals. Of a command, where it
 * is. */
export interface PublishResult {
  readonly channel: string;
  readonly epoch: string;
  readonly seq: number;
  readonly tag: string;
  readonly unchanged: boolean;
  readonly command?: SentCommand;
}

/** The data of a table's snapshot. */
export interface Rows {
  readonly rows: Readonly<Record<string, unknown>>;
}

/** The data of a table's update. */
export interface Changes {
  readonly upsert: Readonly<Record<string, unknown>>;
  readonly delete: readonly string[];
}

/** One entry of a log. */
export interface Entry {
  readonly seq: number;
  readonly event: string;
  readonly ts: number;
  readonly data: unknown;
}

/** The data of a log's snapshot, oldest first. */
export interface Entries {
  readonly entries: readonly Entry[];
}

/** The data of a command in the log of its channel; the event says what to do, `ts` when it was
 * sent. */
export interface AgentCommand {
  readonly id: string;
  readonly sender: string;
  readonly expires_at: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The data of a step in the life of a command, whose event was `event`. Done it has a `result`,
 * failed a `reason`; the worker is null where none had it. */
export interface CommandStep {
  readonly id: string;
  readonly event: string;
  readonly sender: string;
  readonly attempt: number;
  readonly worker: string | null;
  readonly result?: unknown;
  readonly reason?: string;
}

/** What the hub sends unasked, told apart by `type`. */
export type Pushed = Welcome | Snapshot | Update | Channel | Heartbeat | Notice;

/** Who this connection is, where the handshake did not say. */
export interface Auth {
  readonly token: string;
}

/** Follow a channel, from `since` where given. A second one changes the options alone.
 *
 * interval_ms: at most one update in so long, conflated; 0 for each. A log ignores it. */
export interface Subscribe {
  readonly channel: string;
  readonly since?: Position | null;
  readonly interval_ms?: number;
}

/** Follow a channel no longer. */
export interface Unsubscribe {
  readonly channel: string;
}

/** Publish without Redis, or send a command to an agent. `producer` and `n` are the publish's
 * id, where a retry must not publish twice; `key` is that of `publication.AppendEntry`.
 *
 * expires_in_ms: of a command alone: no agent begins it later. */
export interface Publish {
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
  readonly producer?: string | null;
  readonly n?: number | null;
  readonly key?: string;
  readonly expires_in_ms?: number | null;
}

/** Answered at once, for clients that cannot send a WebSocket ping. */
export type Ping = Readonly<Record<string, never>>;

/** The parameters of each method. */
export interface Methods {
  readonly auth: Auth;
  readonly subscribe: Subscribe;
  readonly unsubscribe: Unsubscribe;
  readonly publish: Publish;
  readonly ping: Ping;
}
