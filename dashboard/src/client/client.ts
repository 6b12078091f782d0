// The client's shell: a socket, a timer and the page's signals around what decides (`Link`,
// `Session`, `Pace`). It carries out, and holds no rule of the protocol.

import { Alarm } from "./alarm.ts";
import { type Channel, type Home, HubChannel } from "./channel.ts";
import { Emitter } from "./emitter.ts";
import { HubError } from "./errors.ts";
import { copy } from "./json.ts";
import { isUp, Link, type Status } from "./link.ts";
import { briefly, debugLog, type Log } from "./log.ts";
import {
  type ChannelOptions,
  type ClientOptions,
  DEFAULTS,
  type Events,
  type PublishOptions,
  type Socket,
  type SocketConstructor,
  type Stats,
} from "./options.ts";
import { Pace } from "./pace.ts";
import { watchPage } from "./page.ts";
import type * as wire from "./protocol.ts";
import { ABNORMAL, NORMAL, PROTOCOL_BREACH, SUBPROTOCOL } from "./protocol.ts";
import { Rate } from "./rate.ts";
import { Session } from "./session.ts";
import { skewAfter } from "./skew.ts";
import { Tokens } from "./tokens.ts";
import { websocketUrl } from "./urls.ts";

/** One connection to a hub, or to one of several of a cluster, shared by all channels. */
export class Client {
  #urls: readonly string[];
  #options: typeof DEFAULTS & ClientOptions;
  #Socket: SocketConstructor;
  #log: Log | null;
  #link: Link;
  #session: Session;
  #pace: Pace<HubChannel>;
  #rate = new Rate();
  #channels = new Map<string, HubChannel>();
  /** Channels that nobody wants any more, and when they are left. */
  #leaving = new Map<HubChannel, number>();
  #home: Home;
  #events = new Emitter<Events>();
  #socket: Socket | null = null;
  #nextUrl = 0;
  #tokens: Tokens;
  #unwatch = () => {};
  #alarm = new Alarm(() => this.#act((now) => this.#tick(now)));
  #settling = false;
  #seen: Status;
  #status: Status;
  #latencyMs: number | null = null;
  #clockSkewMs: number | null = null;
  #connections = 0;
  // randomUUID is missing where a page came without TLS.
  #producer = crypto.getRandomValues(new Uint32Array(4)).join("-");
  #n = 0;

  /** `url`: the hub's, or several of one cluster, tried in turn. Nothing is opened yet. */
  constructor(url: string | readonly string[], options: ClientOptions = {}) {
    this.#urls = (typeof url === "string" ? [url] : url).map(websocketUrl);
    if (this.#urls.length === 0) throw new TypeError("expected the URL of a hub, got none");
    this.#options = { ...DEFAULTS, ...options };
    const Socket = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined);
    if (Socket === undefined) throw new TypeError("expected the option WebSocket, got none");
    this.#Socket = Socket;
    this.#log = options.debug ?? debugLog();
    this.#link = new Link(this.#options, options.getToken !== undefined);
    this.#pace = new Pace(this.#options.notifyMs, this.#options.hiddenNotifyMs);
    this.#session = new Session(this.#sessionListener(), this.#options);
    this.#tokens = new Tokens(options.getToken, (error) => this.#events.emit("error", error));
    this.#seen = this.#link.status;
    this.#status = { ...this.#seen, since: Date.now() };
    this.#home = {
      follow: (channel) => this.#follow(channel),
      release: (channel) =>
        this.#act((now) => this.#leaving.set(channel, now + this.#options.lingerMs)),
      mark: (channel) => this.#pace.mark(channel),
      awaySince: () => (this.#link.status.state === "live" ? null : this.#status.since),
    };
  }

  // What an application does

  /** Connect, and stay connected; nothing happens where that is under way. */
  connect(): void {
    this.#unwatch();
    const act = (run: (now: number) => void) => () => this.#act(run);
    this.#unwatch = watchPage({
      online: act((now) => this.#link.online(now)),
      offline: act((now) => this.#link.offline(now)),
      woke: act((now) => this.#link.woke(now)),
      hidden: (hidden) =>
        this.#act(() => {
          this.#pace.hidden = hidden;
        }),
    });
    this.#act((now) => this.#link.start(now));
  }

  /** Attempt at once, where a delay is running or the client had given up. */
  reconnectNow(): void {
    if (this.#link.isAtRest) this.connect();
    else this.#act((now) => this.#link.hurry(now));
  }

  /** End the connection, every loop and every publish that waits; `connect` begins anew. */
  close(): void {
    this.#unwatch();
    this.#unwatch = () => {};
    this.#act((now) => this.#link.stop(now));
  }

  /** Where the connection stands; the same object until it changes. Times are epoch ms. */
  get status(): Status {
    return this.#status;
  }

  get stats(): Stats {
    return {
      latencyMs: this.#latencyMs,
      framesPerSecond: this.#rate.perSecond(performance.now()),
      clockSkewMs: this.#clockSkewMs,
      connections: this.#connections,
    };
  }

  /** Call `listener` at each event of this name; returns what ends it. */
  on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** A channel by its name, the same object each time; `T` is what a value, row or entry is. */
  channel<T>(name: string, { intervalMs }: ChannelOptions = {}): Channel<T> {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      const { intervalMs: usual, history } = this.#options;
      channel = new HubChannel(name, intervalMs ?? usual, history, this.#home);
      this.#channels.set(name, channel);
    } else if (intervalMs !== undefined && intervalMs < channel.intervalMs) {
      channel.intervalMs = intervalMs;
      this.#act(() => this.#session.refresh(name));
    }
    // What a channel carries is its producers' word: T says what the application expects.
    return channel as Channel<unknown> as Channel<T>;
  }

  /**
   * Publish, and say where it stands; waits for a hub as long as it takes, and is stored once
   * however often the connection breaks meanwhile. Rejects with HubError where the hub refuses or
   * the client ends, with TypeError for what JSON can't say (NaN among it), and with the signal's
   * reason.
   */
  async publish(
    channel: string,
    event: string,
    data: unknown,
    { key, expiresInMs, signal }: PublishOptions = {},
  ): Promise<wire.PublishResult> {
    signal?.throwIfAborted();
    const { state, code, reason } = this.#link.status;
    if (state !== "idle" && this.#link.isAtRest) throw new HubError(code ?? NORMAL, reason);
    // What is undefined is no part of the JSON.
    const content = { channel, event, data: copy(data), key, expires_in_ms: expiresInMs };
    const params = { ...content, producer: this.#producer, n: ++this.#n } as wire.Publish;
    let abort = () => {};
    try {
      return await new Promise<wire.PublishResult>((succeed, fail) => {
        const request = { params, succeed, fail };
        abort = () => {
          this.#act(() => this.#session.forget(request));
          fail(signal?.reason);
        };
        signal?.addEventListener("abort", abort);
        this.#act(() => this.#session.request(request));
      });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  // What channels want

  #follow(channel: HubChannel): void {
    if (this.#leaving.delete(channel)) return;
    channel.error = null;
    this.#pace.mark(channel);
    this.#act(() => this.#session.follow(channel));
  }

  // What the session says

  #sessionListener() {
    return {
      welcomed: ({ heartbeat_ms }: wire.Welcome) => this.#link.welcomed(heartbeat_ms),
      accepted: (result: wire.AuthResult | null) => {
        const endsAt = result?.expires_at ?? null;
        const tokenMs = endsAt === null ? Number.POSITIVE_INFINITY : endsAt * 1000 - Date.now();
        this.#link.accepted(performance.now(), tokenMs);
        if (this.#tokens.isNew) this.#tryRefused();
      },
      rejected: (code: number, message: string) => this.#ended(code, message),
      beaten: ({ ts }: wire.Heartbeat) => {
        this.#clockSkewMs = skewAfter(this.#clockSkewMs, Date.now() - ts / 1000);
        this.#session.ping(performance.now());
      },
      answeredPing: (latencyMs: number) => {
        this.#latencyMs = latencyMs;
      },
    };
  }

  /** A newer token may allow what the last one did not. */
  #tryRefused(): void {
    this.#tokens.isNew = false;
    for (const channel of this.#channels.values()) {
      if (channel.error !== null && channel.isWanted) this.#follow(channel);
    }
  }

  // Carrying out

  /** Let something happen, then do all that follows from it. */
  #act(run: (now: number) => void): void {
    run(performance.now());
    this.#settle();
  }

  #settle(): void {
    // Whoever is told of something may act again: the outer call sees to what follows.
    if (this.#settling) return;
    this.#settling = true;
    try {
      while (this.#step());
    } finally {
      this.#settling = false;
    }
    this.#arm();
  }

  /** One round; returns whether there was anything to do. */
  #step(): boolean {
    const effects = this.#link.takeEffects();
    for (const effect of effects) this.#effects[effect]();
    const outgoing = this.#socket === null ? [] : this.#session.takeOutgoing();
    for (const text of outgoing) {
      this.#log?.(`> ${briefly(JSON.parse(text))}`);
      this.#socket?.send(text);
    }
    const moved = this.#tellStatus(effects.includes("fail"));
    const shown = this.#pace.take(performance.now());
    for (const channel of shown) channel.show();
    return effects.length + outgoing.length + shown.length > 0 || moved;
  }

  readonly #effects = {
    token: () => this.#getToken(),
    open: () => this.#open(),
    drop: () => this.#drop(),
    ping: () => this.#session.ping(performance.now()),
    renew: () => this.#renew(),
    fail: () => {},
  };

  #tellStatus(failed: boolean): boolean {
    const status = this.#link.status;
    if (status === this.#seen) return false;
    const before = this.#seen;
    this.#seen = status;
    const wall = Date.now() - performance.now();
    this.#status = {
      ...status,
      since: Math.round(status.since + wall),
      retryAt: status.retryAt === null ? null : Math.round(status.retryAt + wall),
    };
    const { state, code, reason } = status;
    this.#log?.(`${before.state} -> ${state} ${code ?? ""} ${reason}`);
    const error = new HubError(code ?? NORMAL, reason);
    if (this.#link.isAtRest) this.#session.end(error);
    for (const channel of this.#channels.values()) {
      this.#pace.mark(channel);
      if (state === "closed") channel.fail(error);
    }
    this.#events.emit("status", this.#status);
    if (isUp(status) && !isUp(before)) {
      this.#connections += 1;
      this.#events.emit("connected", this.#status);
    } else if (isUp(before) && !isUp(status)) this.#events.emit("disconnected", this.#status);
    if (failed) this.#events.emit("connection_failed", this.#status);
    return true;
  }

  #arm(): void {
    const leaveAt = Math.min(...this.#leaving.values());
    const { deadline } = this.#link;
    this.#alarm.set(Math.min(deadline, this.#session.deadline, this.#pace.deadline, leaveAt));
  }

  #tick(now: number): void {
    this.#link.tick(now);
    this.#session.tick(now);
    for (const [channel, at] of this.#leaving) {
      if (at > now) continue;
      this.#leaving.delete(channel);
      this.#session.leave(channel.name);
      this.#pace.mark(channel);
    }
  }

  // The token

  #getToken(): void {
    const { tokenReason } = this.#link;
    if (tokenReason === "refused") this.#tokens.current = null;
    if (this.#options.getToken === undefined || this.#tokens.current !== null) {
      this.#link.gotToken(performance.now());
      return;
    }
    void this.#tokens.ask(tokenReason, (token, failed) =>
      this.#act((now) => {
        if (token === null) this.#link.gotNoToken(now, failed);
        else this.#link.gotToken(now);
      }),
    );
  }

  #renew(): void {
    void this.#tokens.ask("expiring", (token) =>
      this.#act(() => {
        if (token !== null) this.#session.renew(token);
      }),
    );
  }

  // The socket

  #open(): void {
    const url = this.#urls[this.#nextUrl++ % this.#urls.length] as string;
    this.#log?.(`opens ${url.split("?")[0]}`);
    let socket: Socket;
    try {
      socket = new this.#Socket(url, [SUBPROTOCOL]);
    } catch (error) {
      // Such as a socket without TLS in a page with it.
      this.#ended(ABNORMAL, String(error));
      return;
    }
    this.#socket = socket;
    const current = (run: () => void) => {
      if (this.#socket === socket) this.#act(run);
    };
    socket.addEventListener("open", () =>
      current(() => {
        if (socket.protocol !== SUBPROTOCOL)
          this.#ended(PROTOCOL_BREACH, `expected a hub of ${SUBPROTOCOL}`);
        else this.#session.open(this.#tokens.current, performance.now());
      }),
    );
    socket.addEventListener("message", ({ data }) => current(() => this.#receive(data)));
    socket.addEventListener("close", ({ code, reason }) =>
      current(() => this.#ended(code, reason)),
    );
    // The close event that follows says all there is to say.
    socket.addEventListener("error", () => {});
  }

  #receive(data: unknown): void {
    const now = performance.now();
    this.#link.heard(now);
    this.#rate.count(now);
    try {
      if (typeof data !== "string") throw new TypeError("expected text");
      const frame = JSON.parse(data) as wire.Pushed | wire.Reply;
      this.#log?.(`< ${briefly(frame)}`);
      this.#session.receive(frame, now);
    } catch (error) {
      // No hub says such things: begin anew, from the positions that are known to be right.
      this.#events.emit("error", new Error("expected a frame of the hub", { cause: error }));
      this.#ended(ABNORMAL, "expected a frame of the hub");
    }
  }

  #ended(code: number, reason: string): void {
    this.#link.ended(code, reason || "the connection ended", performance.now());
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#session.closed();
    this.#tokens.cancel();
    socket?.close(NORMAL);
  }
}
