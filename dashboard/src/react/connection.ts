// The connection as components see it.

import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type {
  Change,
  Client,
  Events,
  PublishOptions,
  PublishResult,
  State,
  Stats,
  Status,
} from "../client/index.ts";
import { NORMAL } from "../client/protocol.ts";
import { useLatest } from "./latest.ts";
import { useClient } from "./provider.tsx";

/** Where the connection stands. Times are milliseconds since the epoch. */
export interface ConnectionStatusResult extends Status {
  /** The hub took the token and is heard. Of each number its own hook says whether it is live. */
  readonly isConnected: boolean;
  /** An attempt is under way, or waits for its time: see `retryAt`. */
  readonly isConnecting: boolean;
  /** Why there is no connection, in words; null where there is one, or nothing went wrong yet. */
  readonly error: string | null;
  /** Attempts since the connection was last stable. */
  readonly retryCount: number;
  /** The last round trip to the hub; null before there was one. */
  readonly latencyMs: number | null;
}

const SAMPLE_MS = 1000;

/** Follow the connection's state. */
export function useConnectionStatus(): ConnectionStatusResult {
  const seen = viewOf(useClient());
  return useSyncExternalStore(seen.subscribe, seen.get, onServer);
}

const NO_STATS: Stats = { latencyMs: null, framesPerSecond: 0, clockSkewMs: null, connections: 0 };

/** How the connection does, looked at once a second: latency, frames a second, clocks. */
export function useConnectionStats(): Stats {
  const { subscribeStats, getStats } = viewOf(useClient());
  return useSyncExternalStore(subscribeStats, getStats, () => NO_STATS);
}

/** What `useWebSocket` takes: what to call when, each the newest that was given. */
export interface WebSocketOptions {
  /** Whether anything is called; true by default. */
  readonly enabled?: boolean;
  readonly onConnect?: (status: Status) => void;
  readonly onDisconnect?: (status: Status) => void;
  /** The connection was given up, or something happened that is worth a report. */
  readonly onError?: (error: Error) => void;
}

export interface WebSocketResult extends ConnectionStatusResult {
  readonly client: Client;
  /** Each change of a channel, in order and none left out; returns what ends it. */
  readonly subscribe: (channel: string, listener: (change: Change) => void) => () => void;
  /** Publish, and say where it stands; waits for the hub as long as it takes. */
  readonly publish: (
    channel: string,
    event: string,
    data: unknown,
    options?: PublishOptions,
  ) => Promise<PublishResult>;
  /** Attempt at once, where a delay is running or the connection was given up. */
  readonly reconnectNow: () => void;
}

/** The connection itself, for what the other hooks don't do. */
export function useWebSocket(options: WebSocketOptions = {}): WebSocketResult {
  const client = useClient();
  const status = useConnectionStatus();
  const latest = useLatest(options);
  const { enabled = true } = options;
  useEffect(() => {
    if (!enabled) return undefined;
    const failed = ({ code, reason }: Status) => new Error(`${reason} (${code})`);
    const on = <Name extends keyof Events>(name: Name, tell: (detail: Events[Name]) => void) =>
      client.on(name, tell);
    const stops = [
      on("connected", (now) => latest.current.onConnect?.(now)),
      on("disconnected", (now) => latest.current.onDisconnect?.(now)),
      on("connection_failed", (now) => latest.current.onError?.(failed(now))),
      on("error", (error) => latest.current.onError?.(error)),
    ];
    // Somebody who comes late is told too.
    if (isConnected(client.status)) latest.current.onConnect?.(client.status);
    return () => {
      for (const stop of stops) stop();
    };
  }, [client, enabled, latest]);
  const subscribe = useCallback<WebSocketResult["subscribe"]>(
    (channel, listener) => client.channel(channel).onChange(listener),
    [client],
  );
  const publish = useCallback<WebSocketResult["publish"]>(
    (...given) => client.publish(...given),
    [client],
  );
  const reconnectNow = useCallback(() => client.reconnectNow(), [client]);
  return useMemo(
    () => ({ ...status, client, subscribe, publish, reconnectNow }),
    [status, client, subscribe, publish, reconnectNow],
  );
}

const CONNECTING: ReadonlySet<State> = new Set(["connecting", "reconnecting"]);
const FAILING: ReadonlySet<State> = new Set(["reconnecting", "offline", "unauthorized", "closed"]);

function isConnected({ state }: Status): boolean {
  return state === "live";
}

function resultOf(status: Status, latencyMs: number | null): ConnectionStatusResult {
  const { state, code, reason, attempt } = status;
  const failed = FAILING.has(state) && !(state === "closed" && code === NORMAL);
  return {
    ...status,
    isConnected: isConnected(status),
    isConnecting: CONNECTING.has(state),
    error: failed ? reason : null,
    retryCount: attempt,
    latencyMs,
  };
}

const NOT_YET: Status = {
  state: "idle",
  code: null,
  reason: "connect() was not called",
  since: 0,
  attempt: 0,
  retryAt: null,
};
const ON_SERVER = resultOf(NOT_YET, null);
const onServer = () => ON_SERVER;

/** One client's status and numbers: the same objects until they change, shared by all hooks. */
class ConnectionView {
  #client: Client;
  #status: Status | null = null;
  #result = ON_SERVER;
  #stats = NO_STATS;
  #listeners = new Set<() => void>();
  #statsListeners = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #stop = () => {};

  constructor(client: Client) {
    this.#client = client;
  }

  readonly get = (): ConnectionStatusResult => {
    const { status } = this.#client;
    if (status !== this.#status) this.#take(status);
    return this.#result;
  };

  readonly getStats = (): Stats => this.#stats;

  readonly subscribe = (listener: () => void): (() => void) => this.#add(this.#listeners, listener);

  readonly subscribeStats = (listener: () => void): (() => void) =>
    this.#add(this.#statsListeners, listener);

  #add(listeners: Set<() => void>, listener: () => void): () => void {
    if (this.#timer === undefined) {
      this.#stop = this.#client.on("status", () => {
        for (const each of [...this.#listeners]) each();
      });
      this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    }
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (this.#listeners.size + this.#statsListeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#stop();
    };
  }

  #take(status: Status): void {
    this.#status = status;
    const { latencyMs } = this.#client.stats;
    this.#result = resultOf(status, latencyMs === null ? null : Math.round(latencyMs));
  }

  #sample(): void {
    const { latencyMs, framesPerSecond, clockSkewMs, connections } = this.#client.stats;
    const round = (value: number | null) => (value === null ? null : Math.round(value));
    const stats = {
      latencyMs: round(latencyMs),
      framesPerSecond: Math.round(framesPerSecond * 10) / 10,
      clockSkewMs: round(clockSkewMs),
      connections,
    };
    const before = this.#stats;
    const isSame = (Object.keys(stats) as (keyof Stats)[]).every(
      (name) => stats[name] === before[name],
    );
    if (!isSame) {
      this.#stats = stats;
      for (const each of [...this.#statsListeners]) each();
    }
    if (stats.latencyMs !== this.#result.latencyMs) {
      this.#take(this.#client.status);
      for (const each of [...this.#listeners]) each();
    }
  }
}

const views = new WeakMap<Client, ConnectionView>();

function viewOf(client: Client): ConnectionView {
  const view = views.get(client) ?? new ConnectionView(client);
  views.set(client, view);
  return view;
}
