import type { SocketConstructor } from "../../client/index.ts";
import { type Direction, Frames } from "./frames.ts";
import { Journal } from "./journal.ts";
import { TappedSocket, type Watcher } from "./socket.ts";

/** How often those who look are told at most. */
const TELL_MS = 250;

/**
 * Sits between the client and its sockets: keeps what crossed, and breaks the connection when it
 * is told to, as networks do. Give `WebSocket` to the client.
 */
export class Tap implements Watcher {
  readonly frames = new Frames();
  readonly journal = new Journal();
  readonly WebSocket: SocketConstructor;
  /** When the hub was last heard, in milliseconds since the epoch; 0 for never. */
  heardAt = 0;
  #version = 0;
  #isStalled = false;
  #sockets = new Set<TappedSocket>();
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(Inner: SocketConstructor) {
    const tap = this;
    this.WebSocket = class extends TappedSocket {
      constructor(url: string, protocols: string[]) {
        super(new Inner(url, protocols), tap);
        tap.#sockets.add(this);
      }
    };
  }

  /** Whether the socket is held: nothing comes and nothing goes, and nobody is told. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  set isStalled(isStalled: boolean) {
    this.#isStalled = isStalled;
    if (!isStalled) for (const socket of [...this.#sockets]) socket.release();
    this.#changed();
  }

  /** Break the connection without a word. */
  drop(): void {
    for (const socket of [...this.#sockets]) socket.drop();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Another number after each change that was told. */
  readonly getVersion = (): number => this.#version;

  crossed(direction: Direction, data: unknown): void {
    if (typeof data !== "string") return;
    const at = Date.now();
    if (direction === "in") this.heardAt = at;
    this.frames.add(direction, data, at);
    this.journal.hear(direction, data, at);
    this.#changed();
  }

  ended(socket: TappedSocket): void {
    this.#sockets.delete(socket);
    this.#changed();
  }

  #changed(): void {
    if (this.#listeners.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#version += 1;
      for (const listener of [...this.#listeners]) listener();
    }, TELL_MS);
  }
}
