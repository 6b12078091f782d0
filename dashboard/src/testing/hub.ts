import { shouldReconnect } from "../client/codes.ts";
import type { SocketConstructor } from "../client/index.ts";
import {
  type CommandState,
  FORBIDDEN,
  type Kind,
  KNOWN_KINDS,
  type Methods,
  NOT_FOUND,
  UNAUTHORIZED,
} from "../client/protocol.ts";
import { isCommands, type Outcome, streamOf, Taken } from "./commands.ts";
import { type FakeConnection, type HeardCommand, socketsTo } from "./connection.ts";
import { type TableChange, Tape, type TapeUpdate } from "./tape.ts";

export interface FakeHubOptions {
  readonly heartbeatMs?: number;
  /** How many entries the snapshot of a log has at most. */
  readonly history?: number;
  /** When tokens end, in seconds since the epoch; null for never. */
  readonly expiresAt?: number | null;
}

/**
 * A hub in memory, for tests of what is built on the client. Give its `WebSocket` to the client:
 *
 *     const hub = new FakeHub();
 *     const client = new Client("ws://hub", { WebSocket: hub.WebSocket });
 *     client.connect();
 *     hub.set("portfolio", { balance: "10000.00" });
 *     await client.channel("portfolio").ready();
 *
 * It keeps the protocol by itself: it answers, resumes, conflates what was missed and sends
 * heartbeats. Faults are asked of it: `drop`, `isUp`, `isSilent`, `loseNext`, `restart`, `forget`.
 * It takes no time of its own but for heartbeats, so fake timers decide when anything happens.
 */
export class FakeHub {
  /** The constructor to give to the client. */
  readonly WebSocket: SocketConstructor;
  /** Whether attempts succeed; where it is false, each ends with 1006. */
  isUp = true;
  /** Which tokens it takes; null is none. */
  takesToken: (token: string | null) => boolean = () => true;
  /** Which channels may be read, and published to. */
  mayRead: (channel: string) => boolean = () => true;
  mayPublish: (channel: string) => boolean = () => true;
  /** Which agents' channels may be commanded. */
  mayCommand: (channel: string) => boolean = () => true;
  /** Codes with which it answers the next commands of a method in place of carrying them out. */
  readonly refusals: { readonly method: keyof Methods; readonly code: number }[] = [];
  /** The connections that are open, oldest first. */
  readonly connections: FakeConnection[] = [];
  /** All that clients ever opened, and every command they sent. */
  readonly attempts: FakeConnection[] = [];
  readonly heard: HeardCommand[] = [];
  #options: Required<FakeHubOptions>;
  #tapes = new Map<string, Tape>();
  #answers = new Map<string, object>();
  #commands = new Taken();
  #lost = 0;
  #isSilent = false;
  /** What is to happen when it speaks again. */
  #held: (() => void)[] = [];
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  constructor({ heartbeatMs = 5000, history = 50, expiresAt = null }: FakeHubOptions = {}) {
    this.#options = { heartbeatMs, history, expiresAt };
    this.WebSocket = socketsTo({
      opened: (connection) => this.#opened(connection),
      heard: (connection, command) => this.#heard(connection, command),
      closed: (connection) => this.#closed(connection),
    });
  }

  // What is published

  /** Set a value. */
  set(channel: string, value: unknown, event = "update"): void {
    this.#publish(this.#tape(channel, "value"), event, value);
  }

  /** Upsert and delete rows of a table. */
  patch(
    channel: string,
    { upsert = {}, delete: deleted = [] }: TableChange,
    event = "update",
  ): void {
    this.#publish(this.#tape(channel, "table"), event, { upsert, delete: deleted });
  }

  /** Append an entry to a log. */
  append(channel: string, data: unknown, event = "entry"): void {
    this.#publish(this.#tape(channel, "log"), event, data);
  }

  /** A worker looks for commands: the channel is that of an agent that listens. */
  listen(channel: string): void {
    this.mark(channel, "live");
  }

  /** What becomes of the command that was taken as `c1`, `c2` and so on. */
  step(id: string, state: Exclude<CommandState, "sent">, outcome: Outcome = {}): void {
    const { channel, event, entry } = this.#commands.step(id, state, outcome);
    this.append(channel, entry, event);
  }

  /** The channel's producer missed its deadline, or is back. */
  mark(channel: string, state: "stale" | "live"): void {
    const tape = this.#tape(channel, KNOWN_KINDS[streamOf(channel)] ?? "value");
    tape.stale = state === "stale";
    this.#say(channel, { type: "channel", channel, state, since: Date.now() * 1000 });
  }

  /** The channel's history is lost, and begins anew, of another kind where one is given. */
  restart(channel: string, kind?: Kind): void {
    const tape = this.#tape(channel, kind ?? "value");
    tape.begin(kind ?? tape.kind);
    this.#sayReset(tape);
  }

  /** Forget what was published, but not what it came to: nobody resumes from before. */
  forget(channel: string): void {
    this.#tape(channel, "value").forget();
  }

  // What goes wrong

  /**
   * A silent hub opens sockets and says nothing, as a link that stalls: what was said and heard
   * meanwhile arrives when it speaks again, but for heartbeats.
   */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  set isSilent(isSilent: boolean) {
    this.#isSilent = isSilent;
    const held = isSilent ? [] : this.#held.splice(0);
    for (const happen of held) happen();
  }

  /** End every connection. */
  drop(code?: number, reason?: string): void {
    for (const connection of [...this.connections]) connection.drop(code, reason);
  }

  /** The next publishes reach nobody, as if a frame was lost on the way. */
  loseNext(count = 1): void {
    this.#lost = count;
  }

  /** Send a heartbeat now. */
  beat(): void {
    for (const connection of this.connections) {
      const heads = Object.fromEntries(connection.served);
      for (const channel of connection.served.keys()) {
        heads[channel] = this.#tapes.get(channel)?.position.seq ?? 0;
      }
      if (!this.isSilent) connection.say({ type: "heartbeat", ts: Date.now() * 1000, heads });
    }
  }

  // The connections

  #opened(connection: FakeConnection): void {
    this.attempts.push(connection);
    if (connection.closeCode !== null) return;
    if (!this.isUp) {
      connection.drop();
      return;
    }
    this.connections.push(connection);
    this.#heartbeat ??= setInterval(() => this.beat(), this.#options.heartbeatMs);
    connection.open();
    const { heartbeatMs: heartbeat_ms } = this.#options;
    const session = `s-${this.attempts.length}`;
    this.#speak(() => connection.say({ type: "welcome", session, heartbeat_ms, version: "fake" }));
  }

  #closed(connection: FakeConnection): void {
    const at = this.connections.indexOf(connection);
    if (at !== -1) this.connections.splice(at, 1);
    if (this.connections.length === 0) {
      clearInterval(this.#heartbeat);
      this.#heartbeat = undefined;
    }
  }

  #heard(connection: FakeConnection, command: HeardCommand): void {
    if (!connection.isOpen) return;
    this.heard.push(command);
    this.#speak(() => this.#obey(connection, command));
  }

  #speak(happen: () => void): void {
    if (this.isSilent) this.#held.push(happen);
    else happen();
  }

  #obey(connection: FakeConnection, command: HeardCommand): void {
    const { id, method, params } = command;
    const refusal = this.refusals.findIndex((each) => each.method === method);
    if (refusal !== -1) {
      const [{ code } = { code: NOT_FOUND }] = this.refusals.splice(refusal, 1);
      this.#refuse(connection, id, code, `${method} was refused`);
    } else if (method === "auth") this.#authorize(connection, id, params as Methods["auth"]);
    else if (!connection.isAccepted && !this.takesToken(null)) {
      this.#refuse(connection, id, UNAUTHORIZED, "send auth first");
    } else if (method === "subscribe")
      this.#subscribe(connection, id, params as Methods["subscribe"]);
    else if (method === "publish") this.#offer(connection, id, params as Methods["publish"]);
    else if (method === "unsubscribe") {
      const { channel } = params as Methods["unsubscribe"];
      connection.served.delete(channel);
      connection.say({ id, result: { channel } });
    } else connection.say({ id, result: {} });
  }

  #authorize(connection: FakeConnection, id: number, { token }: Methods["auth"]): void {
    connection.token = token;
    connection.isAccepted = this.takesToken(token);
    const { expiresAt: expires_at } = this.#options;
    if (connection.isAccepted) connection.say({ id, result: { subject: "test", expires_at } });
    else connection.drop(UNAUTHORIZED, "the token was refused");
  }

  #subscribe(connection: FakeConnection, id: number, params: Methods["subscribe"]): void {
    const { channel, since, interval_ms = 0 } = params;
    if (!this.mayRead(channel)) {
      const message = `the token does not allow reading ${channel}`;
      this.#refuse(connection, id, FORBIDDEN, message);
      return;
    }
    const tape = this.#tape(channel, KNOWN_KINDS[streamOf(channel)] ?? "log");
    const missed = since ? tape.since(since) : null;
    connection.say({ id, result: tape.subscribed(missed !== null, interval_ms) });
    for (const frame of missed ?? [tape.snapshot()]) connection.say(frame);
    if (tape.stale) {
      connection.say({ type: "channel", channel, state: "stale", since: Date.now() * 1000 });
    }
    connection.served.set(channel, tape.position.seq);
  }

  #offer(connection: FakeConnection, id: number, params: Methods["publish"]): void {
    const { channel, producer, n } = params;
    const may = isCommands(channel) ? this.mayCommand(channel) : this.mayPublish(channel);
    if (!may) {
      const act = isCommands(channel) ? "commanding" : "publishing to";
      this.#refuse(connection, id, FORBIDDEN, `the token does not allow ${act} ${channel}`);
      return;
    }
    const publishId = `${channel} ${producer} ${n}`;
    const known = producer && n !== undefined ? this.#answers.get(publishId) : undefined;
    const answer = known ?? this.#take(params);
    this.#answers.set(publishId, answer);
    connection.say({ id, result: { channel, ...answer, unchanged: false } });
  }

  #take(params: Methods["publish"]): object {
    const { channel, event, data } = params;
    if (!isCommands(channel))
      return this.#publish(this.#tape(channel, "log"), event, data).position;
    const { command, entry } = this.#commands.take(params);
    return { ...this.#publish(this.#tape(channel, "log"), event, entry).position, command };
  }

  #refuse(connection: FakeConnection, id: number, code: number, message: string): void {
    connection.say({ id, error: { code, message, retry: shouldReconnect(code) } });
  }

  // The channels

  #tape(channel: string, kind: Kind): Tape {
    const known = this.#tapes.get(channel);
    const tape = known ?? new Tape(channel, kind, this.#options.history);
    // No agent listens, until one does.
    if (known === undefined) tape.stale = isCommands(channel);
    // Nothing was published yet: the first publish says what it is.
    if (tape.position.seq === 0 && tape.position.epoch === "") tape.kind = kind;
    this.#tapes.set(channel, tape);
    return tape;
  }

  #publish(tape: Tape, event: string, data: unknown): { position: object } {
    const wasEmpty = tape.position.epoch === "";
    const update: TapeUpdate = tape.write(event, data);
    const { epoch, seq, tag } = update;
    if (this.#lost > 0) this.#lost -= 1;
    else if (wasEmpty && tape.kind !== "log") {
      // Those who subscribed before took the channel for a log.
      this.#sayReset(tape);
    } else this.#say(tape.name, update);
    return { position: { epoch, seq, tag } };
  }

  #sayReset(tape: Tape): void {
    const { name: channel, kind } = tape;
    const since = Date.now() * 1000;
    this.#say(channel, { type: "channel", channel, state: "reset", since, kind });
    this.#say(channel, tape.snapshot());
  }

  #say(channel: string, frame: object): void {
    for (const connection of this.connections) {
      if (connection.served.has(channel)) this.#speak(() => connection.say(frame));
    }
  }
}
