import type { Socket } from "../../client/index.ts";
import { ABNORMAL } from "../../client/protocol.ts";
import type { Direction } from "./frames.ts";

type Open = () => void;
type Message = (event: { data: unknown }) => void;
type Close = (event: { code: number; reason: string }) => void;

/** Who looks at a socket, and may hold it. */
export interface Watcher {
  readonly isStalled: boolean;
  crossed(direction: Direction, data: unknown): void;
  ended(socket: TappedSocket): void;
}

/** A socket whose traffic is seen, and can be held as by a network that stalls. */
export class TappedSocket implements Socket {
  #inner: Socket;
  #watcher: Watcher;
  #held: (() => void)[] = [];
  #closers: Close[] = [];
  #isOver = false;

  constructor(inner: Socket, watcher: Watcher) {
    this.#inner = inner;
    this.#watcher = watcher;
    inner.addEventListener("close", ({ code, reason }) =>
      this.#pass(() => this.#end(code, reason)),
    );
  }

  get protocol(): string {
    return this.#inner.protocol;
  }

  send(text: string): void {
    this.#pass(() => {
      this.#watcher.crossed("out", text);
      this.#inner.send(text);
    });
  }

  close(code?: number, reason?: string): void {
    this.#held = [];
    this.#watcher.ended(this);
    this.#inner.close(code, reason);
  }

  addEventListener(type: "open" | "error", listener: Open): void;
  addEventListener(type: "message", listener: Message): void;
  addEventListener(type: "close", listener: Close): void;
  addEventListener(type: "open" | "error" | "message" | "close", listener: Open | Message | Close) {
    if (type === "close") this.#closers.push(listener as Close);
    else if (type === "message") this.#hear(listener as Message);
    else this.#inner.addEventListener(type, () => this.#pass(listener as Open));
  }

  /** Let through what was held, in its order. */
  release(): void {
    for (const happen of this.#held.splice(0)) happen();
  }

  /** End it as a lost network does: without a word, and at once. */
  drop(): void {
    this.#end(ABNORMAL, "dropped by hand");
    this.#inner.close();
  }

  #hear(listener: Message): void {
    this.#inner.addEventListener("message", ({ data }) =>
      this.#pass(() => {
        this.#watcher.crossed("in", data);
        listener({ data });
      }),
    );
  }

  #pass(happen: () => void): void {
    if (this.#isOver) return;
    if (this.#watcher.isStalled) this.#held.push(happen);
    else happen();
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#held = [];
    this.#watcher.ended(this);
    for (const tell of this.#closers) tell({ code, reason });
  }
}
