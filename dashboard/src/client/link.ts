// What becomes of the connection. No I/O and no clock: times are monotonic milliseconds.
//
// Rules:
// 1. An attempt gets a token (where there is a source), opens a socket and waits until the hub has
//    taken the token; it is given up after `connectTimeoutMs`. Only then is the link `live`.
// 2. A link that ended says by its code what follows. Codes that say reconnect: another attempt
//    after full jitter. 4401 and 4408: another token, once until the link was stable again, then
//    `unauthorized`. Any other: `closed`, with the code.
// 3. Failures are forgotten only when a link was live for `stableMs`: a hub that takes connections
//    and drops them is not hammered.
// 4. A link on which nothing was heard for 1.5 heartbeats is `stale`, after 3 it is dropped.
// 5. When the browser says that it is offline, or woke up, an open link must show within
//    `probeMs` that it lives. A browser may be wrong about the network (the hub can run on the same
//    machine), so attempts go on while `offline`, at the longest delay.

import { type Backoff, fullJitter } from "./backoff.ts";
import { shouldReconnect } from "./codes.ts";
import { ABNORMAL, AUTH_TIMEOUT, NORMAL, UNAUTHORIZED } from "./protocol.ts";

/**
 * `idle`: not asked to connect yet. `connecting`: the first attempt. `live`: the hub took the token
 * and is heard. `stale`: open, but nothing is heard. `reconnecting`: it was lost; see `retryAt`.
 * `offline`: the same, and the browser has no network. `unauthorized`: no token that the hub takes
 * is to be had. `closed`: by the application, or for good; see `code` and `reason`.
 */
export type State =
  | "idle"
  | "connecting"
  | "live"
  | "stale"
  | "reconnecting"
  | "offline"
  | "unauthorized"
  | "closed";

/** Where the connection stands, and why. */
export interface Status {
  readonly state: State;
  /** The code with which the connection ended; null while there is one, and before the first. */
  readonly code: number | null;
  readonly reason: string;
  /** When this state began. */
  readonly since: number;
  /** Attempts since the link was last stable. */
  readonly attempt: number;
  /** When the next attempt begins; null where none waits. */
  readonly retryAt: number | null;
}

export function isUp({ state }: Status): boolean {
  return state === "live" || state === "stale";
}

/** Why a token is asked for. */
export type TokenReason = "connect" | "refused" | "expiring";

/**
 * What the shell must do: get a token, open a socket, drop what there is of either, ask the hub for
 * a sign of life, get a newer token for the open link, or say that the link was given up.
 */
export type Effect = "token" | "open" | "drop" | "ping" | "renew" | "fail";

export interface LinkOptions extends Backoff {
  readonly connectTimeoutMs: number;
  readonly stableMs: number;
  readonly probeMs: number;
  /** Attempts in a row before giving up. */
  readonly maxAttempts: number;
}

const STALE_HEARTBEATS = 1.5;
const SILENT_HEARTBEATS = 3;
/** How long before its end a token is renewed, at most. */
const RENEW_MS = 60_000;
/** A heard link needs no probe. */
const JUST_NOW_MS = 1000;
const NEVER = Number.POSITIVE_INFINITY;

export class Link {
  status: Status = {
    state: "idle",
    code: null,
    reason: "connect() was not called",
    since: 0,
    attempt: 0,
    retryAt: null,
  };
  /** Why the token is asked for that `token` wants. */
  tokenReason: TokenReason = "connect";
  #options: LinkOptions;
  #phase: "rest" | "token" | "opening" | "open" = "rest";
  #online = true;
  #hasSource: boolean;
  #attempts = 0;
  #failures = 0;
  #refusals = 0;
  #giveUpAt = NEVER;
  #acceptedAt = 0;
  #heardAt = 0;
  #heartbeatMs = 5000;
  #probeBy = NEVER;
  #renewAt = NEVER;
  #effects: Effect[] = [];

  constructor(options: LinkOptions, hasTokenSource: boolean) {
    this.#options = options;
    this.#hasSource = hasTokenSource;
  }

  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** Whether nothing but the application will bring a connection. */
  get isAtRest(): boolean {
    return this.#phase === "rest" && this.status.retryAt === null;
  }

  // What the application wants

  /** Connect; nothing happens where that is under way. */
  start(now: number, reason = "connect() was called"): void {
    if (!this.isAtRest) return;
    this.#attempts = this.#failures = this.#refusals = 0;
    this.#move("connecting", now, null, reason);
    this.#attempt(now);
  }

  /** Attempt at once, where a delay is running or the link had been given up. */
  hurry(now: number): void {
    if (this.isAtRest) this.start(now, "reconnectNow() was called");
    else if (this.#phase === "rest") this.#attempt(now);
  }

  stop(now: number, reason = "close() was called"): void {
    this.#drop();
    this.#move("closed", now, NORMAL, reason);
  }

  // What the attempt does

  /** The token is there, or none is needed. */
  gotToken(now: number): void {
    if (this.#phase !== "token") return;
    this.#phase = "opening";
    this.#effects.push("open");
    this.#heardAt = now;
  }

  /** The source gave none, or failed; a source that failed is asked again. */
  gotNoToken(now: number, failed: boolean): void {
    if (this.#phase !== "token") return;
    this.#drop();
    const reason = failed ? "getToken failed" : "getToken gave no token";
    const isAskedAgain = failed && this.#attempts < this.#options.maxAttempts;
    const retryAt = isAskedAgain ? now + this.#delay() : null;
    this.#move("unauthorized", now, UNAUTHORIZED, reason, retryAt);
  }

  welcomed(heartbeatMs: number): void {
    this.#heartbeatMs = heartbeatMs;
  }

  /** The hub took the token, which is good for `tokenMs` more. */
  accepted(now: number, tokenMs: number): void {
    this.#renewAt = this.#hasSource ? now + tokenMs - Math.min(RENEW_MS, tokenMs / 5) : NEVER;
    if (this.#phase !== "opening") return;
    this.#phase = "open";
    this.tokenReason = "connect";
    this.#giveUpAt = NEVER;
    this.#acceptedAt = this.#heardAt = now;
    this.#move("live", now, null, "the hub answered");
  }

  /** Something came. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#probeBy = NEVER;
    if (this.status.state === "stale") this.#move("live", now, null, "the hub is heard again");
  }

  /** The socket ended, or the hub refused. */
  ended(code: number, reason: string, now: number): void {
    if (this.#phase === "rest") return;
    if (this.#phase === "open" && now - this.#acceptedAt >= this.#options.stableMs) {
      this.#attempts = this.#failures = this.#refusals = 0;
    }
    this.#drop();
    if (code === UNAUTHORIZED || code === AUTH_TIMEOUT) this.#refused(code, reason, now);
    else if (!shouldReconnect(code)) this.#giveUp(code, reason, now);
    else if (this.#attempts >= this.#options.maxAttempts) {
      this.#giveUp(code, `${reason}: gave up after ${this.#attempts} attempts`, now);
    } else this.#wait(code, reason, now);
  }

  // What the browser says

  online(now: number): void {
    this.#online = true;
    this.woke(now);
  }

  offline(now: number): void {
    this.#online = false;
    if (this.#phase === "open") {
      this.#probe(now);
      this.#move("stale", now, null, "the browser is offline");
    } else if (this.status.state === "reconnecting" && this.#phase === "rest") {
      this.#wait(this.status.code ?? ABNORMAL, "the browser is offline", now);
    }
  }

  /** The page is seen again, was restored, or resumes. */
  woke(now: number): void {
    if (this.#phase === "open") {
      if (now - this.#heardAt > JUST_NOW_MS) this.#probe(now);
    } else if (this.#phase === "rest" && this.status.retryAt !== null) {
      this.#attempt(now);
    }
  }

  // Time

  /** When `tick` has something to decide. */
  get deadline(): number {
    if (this.#phase === "rest") return this.status.retryAt ?? NEVER;
    if (this.#phase !== "open") return this.#giveUpAt;
    const heartbeats = this.status.state === "live" ? STALE_HEARTBEATS : SILENT_HEARTBEATS;
    const silent = this.#heardAt + heartbeats * this.#heartbeatMs;
    return Math.min(silent, this.#probeBy, this.#renewAt);
  }

  tick(now: number): void {
    if (now < this.deadline) return;
    if (this.#phase === "rest") {
      this.#attempt(now);
    } else if (this.#phase !== "open") {
      const seconds = this.#options.connectTimeoutMs / 1000;
      this.ended(ABNORMAL, `no connection within ${seconds} s`, now);
    } else if (now >= this.#probeBy || now >= this.#silentAt) {
      this.ended(
        ABNORMAL,
        `nothing was heard for ${Math.round((now - this.#heardAt) / 1000)} s`,
        now,
      );
    } else if (now >= this.#renewAt) {
      this.#renewAt = NEVER;
      this.#effects.push("renew");
    } else {
      this.#move("stale", now, null, "a heartbeat is missing");
    }
  }

  get #silentAt(): number {
    return this.#heardAt + SILENT_HEARTBEATS * this.#heartbeatMs;
  }

  #attempt(now: number): void {
    const { state, code, reason } = this.status;
    this.#attempts += 1;
    this.#phase = "token";
    this.#giveUpAt = now + this.#options.connectTimeoutMs;
    this.#effects.push("token");
    this.#move(state === "connecting" ? state : "reconnecting", now, code, reason);
  }

  #refused(code: number, reason: string, now: number): void {
    this.#refusals += 1;
    this.tokenReason = "refused";
    if (this.#hasSource && this.#refusals === 1) {
      // The token may have ended on the way.
      this.#move("reconnecting", now, code, reason);
      this.#attempt(now);
    } else this.#move("unauthorized", now, code, reason);
  }

  #giveUp(code: number, reason: string, now: number): void {
    this.#effects.push("fail");
    this.#move("closed", now, code, reason);
  }

  #wait(code: number, reason: string, now: number): void {
    if (this.#online) this.#move("reconnecting", now, code, reason, now + this.#delay());
    else this.#move("offline", now, code, reason, now + this.#options.maxDelayMs);
  }

  #delay(): number {
    const delay = fullJitter(this.#failures, this.#options);
    this.#failures += 1;
    return delay;
  }

  #probe(now: number): void {
    this.#effects.push("ping");
    this.#probeBy = Math.min(this.#probeBy, now + this.#options.probeMs);
  }

  #drop(): void {
    if (this.#phase !== "rest") this.#effects.push("drop");
    this.#phase = "rest";
    this.#probeBy = this.#giveUpAt = this.#renewAt = NEVER;
  }

  #move(
    state: State,
    now: number,
    code: number | null,
    reason: string,
    retryAt: number | null = null,
  ): void {
    const { state: before, since } = this.status;
    this.status = {
      state,
      code,
      reason,
      since: state === before ? since : now,
      attempt: this.#attempts,
      retryAt,
    };
  }
}
