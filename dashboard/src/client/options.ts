// What an application gives to a client, and is told by it.

import type { Status, TokenReason } from "./link.ts";
import { MAX_HISTORY } from "./protocol.ts";

/** The part of a WebSocket that is used, so that tests and Node can bring their own. */
export interface Socket {
  readonly protocol: string;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { code: number; reason: string }) => void,
  ): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** What a source of tokens is told. */
export interface TokenRequest {
  /**
   * `connect`: there is none yet. `refused`: the hub did not take the last one, or it ended.
   * `expiring`: it ends soon, and the connection goes on with a newer one.
   */
  readonly reason: TokenReason;
  /** Aborted when the token is no longer wanted. */
  readonly signal: AbortSignal;
}

export interface ClientOptions {
  /**
   * Gives a token that is good now; null where there is none, which makes the client
   * `unauthorized` until `reconnectNow()`. Called only when a token is needed, and again after a
   * while where it throws. Without it, none is shown.
   */
  readonly getToken?: (request: TokenRequest) => Promise<string | null> | string | null;
  /** The constructor of sockets; the browser's own by default. */
  readonly WebSocket?: SocketConstructor;
  /** Attempts in a row before `connection_failed`; endless by default. */
  readonly maxAttempts?: number;
  /** The first bound of the delay between attempts, 1000 by default, and the last, 30000. */
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  /** From the start of an attempt until the hub took the token; 10000 by default. */
  readonly connectTimeoutMs?: number;
  /** How long a connection must be live before its failures are forgotten; 10000 by default. */
  readonly stableMs?: number;
  /** How long an open connection has to show that it lives, after the page woke; 5000. */
  readonly probeMs?: number;
  /** How often listeners are told at most: 100, and 1000 while the page is hidden. */
  readonly notifyMs?: number;
  readonly hiddenNotifyMs?: number;
  /** The interval of channels that name none: 100. A log ignores it. */
  readonly intervalMs?: number;
  /** How long a channel is followed after its last listener went; 1000 by default. */
  readonly lingerMs?: number;
  /** How many entries of a log are kept; 300 by default. */
  readonly history?: number;
  /** Gives fractions from 0 to 1. */
  readonly random?: () => number;
  /** Where debug lines go; `localStorage.debug = "tapecast"` sends them to the console. */
  readonly debug?: (line: string) => void;
}

export interface ChannelOptions {
  /** At most one update in so long, conflated by the hub; 0 for each. The smallest asked counts. */
  readonly intervalMs?: number;
}

export interface PublishOptions {
  /** A log entry's own key: an equal entry under it is not published again. */
  readonly key?: string;
  /** Of a command to an agent: nobody begins it later, counted from when the hub has it. */
  readonly expiresInMs?: number;
  /** Stops the waiting; what was sent may have happened. */
  readonly signal?: AbortSignal;
}

/** How the connection does. */
export interface Stats {
  /** The last round trip to the hub; null before there was one. */
  readonly latencyMs: number | null;
  /** Frames of the hub in a second, over the last five. */
  readonly framesPerSecond: number;
  /** This machine's clock minus the hub's; null before a heartbeat. */
  readonly clockSkewMs: number | null;
  /** How often the connection became live. */
  readonly connections: number;
}

/** What `on` tells of. */
export interface Events {
  /** Each transition. */
  readonly status: Status;
  readonly connected: Status;
  readonly disconnected: Status;
  /** The client gave up: the hub's code is final, or `maxAttempts` were in vain. */
  readonly connection_failed: Status;
  /** What the application may want to report; the client goes on by itself. */
  readonly error: Error;
}

/** What counts where an option is not given. */
export const DEFAULTS = {
  maxAttempts: Number.POSITIVE_INFINITY,
  minDelayMs: 1000,
  maxDelayMs: 30_000,
  connectTimeoutMs: 10_000,
  stableMs: 10_000,
  probeMs: 5000,
  notifyMs: 100,
  hiddenNotifyMs: 1000,
  intervalMs: 100,
  lingerMs: 1000,
  history: MAX_HISTORY,
  random: Math.random,
};
