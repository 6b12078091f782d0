// All that one client wants of the hub, on whichever connection it has. No I/O, no clock.
//
// Rules:
// 1. The first command on a connection shows who this is: `auth` with the token, or without one a
//    `ping`, which a hub refuses where the handshake did not say either. Nothing else is sent until
//    it was answered. Then each channel is asked for from its position, and each unanswered publish
//    is sent again with the id that it had, so that it is stored once.
// 2. A refusal that the table of codes calls worth repeating is repeated after a while; any other
//    ends the publish or subscription with an error.
// 3. At most `MAX_UNANSWERED` publishes are under way: a hub allows twice as many, and remembers
//    the ids of many more.

import { type Backoff, fullJitter } from "./backoff.ts";
import type { Change } from "./changes.ts";
import { shouldReconnect } from "./codes.ts";
import { HubError } from "./errors.ts";
import type * as wire from "./protocol.ts";
import { MAX_COMMAND_BYTES, TOO_LARGE, TOO_MANY } from "./protocol.ts";
import type { Tracker } from "./tracker.ts";

export const MAX_UNANSWERED = 32;
/** How many publishes may wait for the hub; beyond it they are refused. */
export const MAX_WAITING = 1000;

/** A channel that is followed, and where its changes go. */
export interface Followed {
  readonly name: string;
  readonly intervalMs: number;
  readonly tracker: Tracker;
  /** Of this kind are the changes from now on. */
  become(kind: wire.Kind): void;
  deliver(change: Change): void;
  /** The hub says no, and that asking again is of no use. */
  refuse(error: HubError): void;
}

/** A publish that is answered once, over any number of connections. */
export interface Request {
  readonly params: wire.Publish;
  readonly succeed: (result: wire.PublishResult) => void;
  readonly fail: (error: HubError) => void;
}

/** What the session tells of its connection. */
export interface Listener {
  welcomed(welcome: wire.Welcome): void;
  /** The hub took the token; null where none was shown. */
  accepted(result: wire.AuthResult | null): void;
  /** The hub did not take it. */
  rejected(code: number, message: string): void;
  beaten(heartbeat: wire.Heartbeat): void;
  answeredPing(latencyMs: number): void;
}

/** A command that is asked again, over any number of connections, until it was answered. */
interface Pending {
  failures: number;
  /** That of the command under way; null where there is none. */
  id: number | null;
  /** When to ask again; null where no refusal asks for it. */
  repeatAt: number | null;
  readonly again: () => void;
  /** The hub refused for good. */
  readonly end: (error: HubError) => void;
}

interface Subscribed extends Pending {
  readonly followed: Followed;
}

type Answered = (reply: wire.Reply, now: number) => void;

/** Subscriptions and publishes of one client. */
export class Session {
  #listener: Listener;
  #backoff: Backoff;
  #lastId = 0;
  #accepted = false;
  #subscriptions = new Map<string, Subscribed>();
  #requests = new Map<Request, Pending>();
  #asked = new Map<number, Answered>();
  #outgoing: string[] = [];
  /** What is asked again at its `repeatAt`. */
  #repeating = new Set<Pending>();

  constructor(listener: Listener, backoff: Backoff) {
    this.#listener = listener;
    this.#backoff = backoff;
  }

  // What the application wants

  follow(followed: Followed): void {
    const { name, tracker } = followed;
    const again = () => {
      tracker.rest();
      this.#ask(subscribed);
    };
    const end = (error: HubError) => {
      this.#subscriptions.delete(name);
      tracker.rest();
      followed.refuse(error);
    };
    const subscribed: Subscribed = { ...pending(again, end), followed };
    this.#subscriptions.set(name, subscribed);
    this.#ask(subscribed);
  }

  leave(name: string): void {
    const subscribed = this.#subscriptions.get(name);
    if (subscribed === undefined) return;
    this.#subscriptions.delete(name);
    this.#forgetId(subscribed);
    subscribed.followed.tracker.rest();
    if (this.#accepted) this.#send("unsubscribe", { channel: name });
  }

  /** Ask for a channel anew: its options changed. */
  refresh(name: string): void {
    const subscribed = this.#subscriptions.get(name);
    if (subscribed === undefined) return;
    this.#forgetId(subscribed);
    subscribed.again();
  }

  /** Publish, until it is answered. */
  request(request: Request): void {
    const { params } = request;
    const bytes = new TextEncoder().encode(command(this.#lastId + 1, "publish", params)).length;
    if (bytes > MAX_COMMAND_BYTES) {
      const expected = `expected a publish of at most ${MAX_COMMAND_BYTES} bytes, got ${bytes}`;
      request.fail(new HubError(TOO_LARGE, expected));
      return;
    }
    if (this.#requests.size >= MAX_WAITING) {
      request.fail(new HubError(TOO_MANY, `expected at most ${MAX_WAITING} waiting publishes`));
      return;
    }
    const end = (error: HubError) => {
      this.#requests.delete(request);
      request.fail(error);
      this.#sendRequests();
    };
    this.#requests.set(
      request,
      pending(() => this.#sendRequests(), end),
    );
    this.#sendRequests();
  }

  /** Nobody waits for this publish any more; it may have happened. */
  forget(request: Request): void {
    const requested = this.#requests.get(request);
    if (requested === undefined) return;
    this.#requests.delete(request);
    this.#forgetId(requested);
    this.#sendRequests();
  }

  ping(now: number): void {
    if (!this.#accepted) return;
    this.#send("ping", {}, (_reply, then) => this.#listener.answeredPing(then - now));
  }

  /** Show a newer token on the open connection. */
  renew(token: string): void {
    if (!this.#accepted) return;
    this.#send("auth", { token }, ({ result, error }) => {
      if (error === undefined) this.#listener.accepted(result as wire.AuthResult);
    });
  }

  // What the connection does

  /** The connection is open: show who this is. */
  open(token: string | null, now: number): void {
    const answered: Answered = ({ result, error }, then) => {
      if (error !== undefined) this.#listener.rejected(error.code, error.message);
      else this.#begin(token === null ? null : (result as wire.AuthResult), then - now);
    };
    if (token === null) this.#send("ping", {}, answered);
    else this.#send("auth", { token }, answered);
  }

  /** The texts to send now, in order. */
  takeOutgoing(): string[] {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    return outgoing;
  }

  /** The connection is gone; what was not answered waits for the next one. */
  closed(): void {
    this.#accepted = false;
    this.#outgoing = [];
    this.#asked.clear();
    this.#repeating.clear();
    for (const each of [...this.#subscriptions.values(), ...this.#requests.values()]) {
      each.id = each.repeatAt = null;
    }
    for (const { followed } of this.#subscriptions.values()) followed.tracker.rest();
  }

  /** There will be no other connection for now: nothing that was published can be answered. */
  end(error: HubError): void {
    const requests = [...this.#requests.keys()];
    this.#requests.clear();
    for (const request of requests) request.fail(error);
  }

  /** Take a frame of the hub. Throws TypeError for what no hub sends. */
  receive(frame: wire.Pushed | wire.Reply, now: number): void {
    if (!("type" in frame)) {
      this.#answered(frame, now);
      return;
    }
    switch (frame.type) {
      case "update":
      case "snapshot":
      case "channel":
        this.#hear(frame);
        break;
      case "heartbeat":
        this.#compare(frame.heads);
        this.#listener.beaten(frame);
        break;
      case "welcome":
        this.#listener.welcomed(frame);
        break;
      default:
      // A notice needs no answer, and types to come are ignored.
    }
  }

  // Time

  /** When `tick` has something to do. */
  get deadline(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const { repeatAt } of this.#repeating) deadline = Math.min(deadline, repeatAt ?? deadline);
    return deadline;
  }

  tick(now: number): void {
    for (const each of [...this.#repeating]) {
      if (each.repeatAt === null || each.repeatAt > now) continue;
      this.#repeating.delete(each);
      each.repeatAt = null;
      each.again();
    }
  }

  // What is heard

  #hear(frame: wire.Snapshot | wire.Update | wire.Channel): void {
    const subscribed = this.#subscriptions.get(frame.channel);
    if (subscribed === undefined) return;
    const { followed } = subscribed;
    const { tracker } = followed;
    this.#deliver(subscribed, tracker.receive(frame));
    // A reset may have said another kind.
    if (tracker.stage === "behind" && tracker.kind !== null) followed.become(tracker.kind);
  }

  #compare(heads: wire.Heartbeat["heads"]): void {
    for (const [name, head] of Object.entries(heads)) {
      const subscribed = this.#subscriptions.get(name);
      if (subscribed === undefined) continue;
      subscribed.followed.tracker.heartbeat(head);
      this.#deliver(subscribed, []);
    }
  }

  #answered(reply: wire.Reply, now: number): void {
    if (reply.id === null) return;
    const answered = this.#asked.get(reply.id);
    this.#asked.delete(reply.id);
    answered?.(reply, now);
  }

  #begin(result: wire.AuthResult | null, latencyMs: number): void {
    this.#accepted = true;
    this.#listener.accepted(result);
    this.#listener.answeredPing(latencyMs);
    for (const subscribed of this.#subscriptions.values()) this.#ask(subscribed);
    this.#sendRequests();
  }

  #denied(denied: Pending, { code, message }: wire.Failure, now: number): void {
    if (shouldReconnect(code)) {
      denied.repeatAt = now + fullJitter(denied.failures, this.#backoff);
      denied.failures += 1;
      this.#repeating.add(denied);
    } else denied.end(new HubError(code, message));
  }

  #deliver(subscribed: Subscribed, changes: readonly Change[]): void {
    for (const change of changes) subscribed.followed.deliver(change);
    if (subscribed.followed.tracker.stage === "hole") this.#ask(subscribed);
  }

  // What is sent

  #ask(subscribed: Subscribed): void {
    const { name, intervalMs, tracker } = subscribed.followed;
    const waiting = tracker.stage === "idle" || tracker.stage === "hole";
    if (!this.#accepted || !waiting || subscribed.repeatAt !== null) return;
    const since = tracker.ask();
    const params = {
      channel: name,
      ...(since === null ? {} : { since }),
      ...(intervalMs === 0 ? {} : { interval_ms: intervalMs }),
    };
    this.#sendPending(subscribed, "subscribe", params, (result: wire.SubscribeResult) => {
      subscribed.followed.become(result.kind);
      this.#deliver(subscribed, tracker.answer(result));
    });
  }

  #sendRequests(): void {
    if (!this.#accepted) return;
    let underWay = 0;
    for (const [request, waiting] of this.#requests) {
      if (underWay >= MAX_UNANSWERED) return;
      underWay += 1;
      if (waiting.id !== null || waiting.repeatAt !== null) continue;
      this.#sendPending(waiting, "publish", request.params, (result: wire.PublishResult) => {
        this.#requests.delete(request);
        request.succeed(result);
        this.#sendRequests();
      });
    }
  }

  #sendPending<M extends keyof wire.Methods, Result>(
    asked: Pending,
    method: M,
    params: wire.Methods[M],
    taken: (result: Result) => void,
  ): void {
    asked.id = this.#send(method, params, ({ result, error }, now) => {
      asked.id = null;
      if (error !== undefined) {
        this.#denied(asked, error, now);
        return;
      }
      asked.failures = 0;
      taken(result as Result);
    });
  }

  #send<M extends keyof wire.Methods>(
    method: M,
    params: wire.Methods[M],
    answered?: Answered,
  ): number {
    this.#lastId += 1;
    if (answered !== undefined) this.#asked.set(this.#lastId, answered);
    this.#outgoing.push(command(this.#lastId, method, params));
    return this.#lastId;
  }

  #forgetId(forgotten: Pending): void {
    this.#repeating.delete(forgotten);
    forgotten.repeatAt = null;
    if (forgotten.id !== null) this.#asked.delete(forgotten.id);
    forgotten.id = null;
  }
}

function pending(again: () => void, end: (error: HubError) => void): Pending {
  return { failures: 0, id: null, repeatAt: null, again, end };
}

function command<M extends keyof wire.Methods>(
  id: number,
  method: M,
  params: wire.Methods[M],
): string {
  return JSON.stringify({ id, method, params });
}
