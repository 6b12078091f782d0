import type { SocketConstructor } from "../client/index.ts";
import { ABNORMAL, type Methods, SUBPROTOCOL } from "../client/protocol.ts";

/** A command that the fake hub received. */
export interface HeardCommand<M extends keyof Methods = keyof Methods> {
  readonly id: number;
  readonly method: M;
  readonly params: Methods[M];
}

/** What a connection needs of its hub. */
export interface Ends {
  opened(connection: FakeConnection): void;
  heard(connection: FakeConnection, command: HeardCommand): void;
  closed(connection: FakeConnection): void;
}

type Listener = (event: { data: unknown; code: number; reason: string }) => void;

/** One socket of a client under test, with both of its ends. Everything happens in microtasks. */
export class FakeConnection {
  readonly url: string;
  readonly protocol = SUBPROTOCOL;
  /** The token that the client showed; null before it did. */
  token: string | null = null;
  /** Whether the hub has taken what the client showed. */
  isAccepted = false;
  /** The channels that are subscribed, and up to which seq this connection was served. */
  readonly served = new Map<string, number>();
  /** The code with which it ended; null while it has not. */
  closeCode: number | null = null;
  #ends: Ends;
  #isOpen = false;
  #listeners = new Map<string, Listener[]>();

  constructor(url: string, ends: Ends) {
    this.url = url;
    this.#ends = ends;
    queueMicrotask(() => ends.opened(this));
  }

  // The client's end

  addEventListener(type: string, listener: (event: never) => void): void {
    const listeners = this.#listeners.get(type) ?? [];
    this.#listeners.set(type, [...listeners, listener as Listener]);
  }

  send(text: string): void {
    if (!this.#isOpen) return;
    const command = JSON.parse(text) as HeardCommand;
    queueMicrotask(() => this.#ends.heard(this, command));
  }

  close(code = 1005, reason = ""): void {
    this.drop(code, reason);
  }

  // The hub's end

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Let the client in. */
  open(): void {
    if (this.closeCode !== null) return;
    this.#isOpen = true;
    this.#tell("open", {});
  }

  /** Say any frame. */
  say(frame: object): void {
    this.sayText(JSON.stringify(frame));
  }

  /** Say any text, also one that is no frame. */
  sayText(text: string): void {
    if (this.#isOpen) this.#tell("message", { data: text });
  }

  /** End it: by default as a link that breaks without a word. */
  drop(code = ABNORMAL, reason = ""): void {
    if (this.closeCode !== null) return;
    this.closeCode = code;
    this.#isOpen = false;
    this.#ends.closed(this);
    queueMicrotask(() => this.#tell("close", { code, reason }));
  }

  #tell(type: string, event: Partial<Parameters<Listener>[0]>): void {
    const whole = { data: undefined, code: 0, reason: "", ...event };
    for (const listener of this.#listeners.get(type) ?? []) listener(whole);
  }
}

/** The constructor that a client is given, whose sockets end here. */
export function socketsTo(ends: Ends): SocketConstructor {
  return class extends FakeConnection {
    constructor(url: string) {
      super(url, ends);
    }
  };
}
