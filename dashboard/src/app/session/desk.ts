import { type Channel, Client, type SocketConstructor } from "../../client/index.ts";
import { accountKeys, accountOf } from "../data/accounts.ts";
import type { Memory } from "../data/memory.ts";
import { Tap } from "../dev/tap.ts";
import { Pushing } from "../push/pushing.ts";
import {
  type Api,
  ApiError,
  type ListedChannel,
  matches,
  readChannels,
  readCommanding,
} from "./api.ts";
import type { Session } from "./door.ts";
import { type Ledger, openLedger } from "./ledger.ts";

const LIST_MS = 5000;

export interface DeskOptions {
  readonly session: Session;
  /** What this browser remembers. */
  readonly memory: Memory;
  readonly Socket: SocketConstructor;
  /** Called where the hub does not take the session any more. */
  readonly refused: (reason: string) => void;
}

/** Everything that somebody who is logged in works with: one connection, and what came over it. */
export class Desk {
  readonly api: Api;
  readonly tap: Tap;
  readonly client: Client;
  readonly pushing: Pushing;
  /** The channels that may be read; the same array until the hub lists others. */
  channels: readonly ListedChannel[] = [];
  /** Whether the hub has said once which channels there are. */
  isListed = false;
  #commanding: readonly string[] | null = null;
  #asksRights: boolean;
  #isAwaitingRights: boolean;
  #memory: Memory;
  #ledgers = new Map<string, Ledger>();
  #listeners = new Set<() => void>();
  #ended = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor({ session, memory, Socket, refused }: DeskOptions) {
    const { api, bearer } = session;
    this.api = api;
    this.#memory = memory;
    const channels = () => this.accounts.map((key) => accountOf(key).alerts);
    this.pushing = new Pushing({ api, memory, channels });
    // A hub that keeps no sessions knows nothing of rights to command either.
    this.#asksRights = bearer === null;
    this.#isAwaitingRights = this.#asksRights;
    this.tap = new Tap(Socket);
    // A token that the hub refused is not shown again.
    const getToken = ({ reason }: { reason: string }) => (reason === "connect" ? bearer : null);
    this.client = new Client("/", {
      WebSocket: this.tap.WebSocket,
      ...(bearer === null ? {} : { getToken }),
    });
    this.client.on("status", ({ state, reason }) => {
      if (state === "unauthorized") refused(`You were signed out: ${reason}.`);
    });
    this.client.on("connected", () => {
      void this.#list();
      void this.#askRights();
    });
  }

  open(): this {
    this.client.connect();
    void this.#list();
    this.#timer = setInterval(() => {
      if (document.visibilityState === "visible") void this.#list();
    }, LIST_MS);
    return this;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#ended.abort();
    this.client.close();
  }

  leave(): Promise<void> {
    return this.pushing.leave();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getChannels = (): readonly ListedChannel[] => this.channels;

  readonly getListed = (): boolean => this.isListed;

  /** The accounts that may be seen; the one without a key where none is listed. */
  get accounts(): readonly string[] {
    const keys = accountKeys(this.channels.map(({ name }) => name));
    return keys.length === 0 ? [""] : keys;
  }

  /** Whether commands may be sent to a channel; null where the hub does not say. */
  mayCommand(channel: string): boolean | null {
    // A button that is offered for a moment and gone again is worse than one that comes late.
    if (this.#isAwaitingRights) return false;
    return this.#commanding?.some((pattern) => matches(pattern, channel)) ?? null;
  }

  readonly channel = (name: string): Channel<unknown> => this.client.channel<unknown>(name);

  /** An account's ledger, which is kept from the first look on. */
  ledger(key: string): Ledger {
    let ledger = this.#ledgers.get(key);
    if (ledger === undefined) {
      const { channel, api } = this;
      const names = new Set(this.channels.map(({ name }) => name));
      const hasPast = (name: string) => names.has(name);
      const kept = { memory: this.#memory, signal: this.#ended.signal };
      ledger = openLedger(accountOf(key), { channel, hasPast, api, ...kept });
      this.#ledgers.set(key, ledger);
    }
    return ledger;
  }

  async #askRights(): Promise<void> {
    if (!this.#asksRights) return;
    const before = this.#commanding;
    try {
      const { signal } = this.#ended;
      this.#commanding = readCommanding(await this.api.ask("session", { signal }));
    } catch (error) {
      // What is not known is found out by trying.
      if (!(error instanceof ApiError) && !this.#ended.signal.aborted) throw error;
    }
    const isNews = this.#isAwaitingRights || String(before) !== String(this.#commanding);
    this.#isAwaitingRights = false;
    if (isNews) this.#tell();
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async #list(): Promise<void> {
    let { channels } = this;
    try {
      channels = readChannels(await this.api.ask("channels", { signal: this.#ended.signal }));
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      // Where the hub is away, the connection says so, and it is asked again when it is back.
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) return;
    }
    const isSame = this.isListed && signature(channels) === signature(this.channels);
    this.isListed = true;
    if (isSame) return;
    this.channels = channels;
    this.#tell();
  }
}

function signature(channels: readonly ListedChannel[]): string {
  return channels.map(({ name, kind }) => `${name} ${kind}`).join("\n");
}
