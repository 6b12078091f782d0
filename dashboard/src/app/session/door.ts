// Who is logged in. A token is handed to the hub once, which keeps a session in a cookie that no
// script can read; an older hub has no sessions, then the token stays in this page's memory.

import { forget, type Memory, recall, remember } from "../data/memory.ts";
import { Api, ApiError } from "./api.ts";

export interface Session {
  readonly api: Api;
  /** The token, where the hub keeps no session. */
  readonly bearer: string | null;
}

/** `D` is what somebody who is in works with. */
export type Entrance<D> =
  | { readonly at: "checking" }
  | { readonly at: "unreachable"; readonly reason: string }
  | { readonly at: "out"; readonly reason: string }
  | { readonly at: "in"; readonly desk: D };

export interface Opened {
  close(): void;
  /** Whoever worked with it logs out: the last for which the session counts. */
  leave(): Promise<void>;
}

/** What this browser remembers of a session: that there is one. The cookie itself nobody reads. */
const MARK = "session";
const RETRY_MS = 2000;
const UNAUTHORIZED = 401;
const REFUSALS: readonly number[] = [400, UNAUTHORIZED, 403, 413, 422];
const UNKNOWN: readonly number[] = [404, 405];

export class Door<D extends Opened> {
  entrance: Entrance<D> = { at: "checking" };
  #open: (session: Session) => D;
  #makeApi: (bearer: string | null) => Api;
  #listeners = new Set<() => void>();
  /** Counts attempts: an answer to an older one is nobody's. */
  #attempt = 0;
  #memory: Memory;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(
    open: (session: Session) => D,
    memory: Memory,
    makeApi: (bearer: string | null) => Api = (bearer) => new Api(bearer),
  ) {
    this.#open = open;
    this.#memory = memory;
    this.#makeApi = makeApi;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getEntrance = (): Entrance<D> => this.entrance;

  /** Go in with a token, or with the session that the browser has. */
  async enter(token: string | null): Promise<void> {
    clearTimeout(this.#retry);
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#move({ at: "checking" });
    let next: Entrance<D> | Session;
    try {
      next = token === null ? await this.#resume() : await this.#begin(token);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      next = this.#refusal(error, token);
    }
    if (attempt !== this.#attempt) return;
    if ("at" in next) this.#move(next);
    else this.#move({ at: "in", desk: this.#open(next) });
    if (this.entrance.at === "unreachable") {
      this.#retry = setTimeout(() => void this.enter(token), RETRY_MS);
    }
  }

  /** The hub does not take the session any more. */
  refused(reason: string): void {
    this.#attempt += 1;
    this.#move({ at: "out", reason });
  }

  /** Log out, here and at the hub. */
  async leave(): Promise<void> {
    const { entrance } = this;
    forget(this.#memory, MARK);
    this.refused("");
    if (entrance.at === "in") await entrance.desk.leave();
    try {
      await this.#makeApi(null).ask("session", { method: "DELETE" });
    } catch (error) {
      // Where the hub can't be told, its session ends by itself.
      if (!(error instanceof ApiError)) throw error;
    }
  }

  async #begin(token: string): Promise<Session> {
    const api = this.#makeApi(null);
    try {
      await api.ask("session", { method: "POST", body: { token } });
    } catch (error) {
      if (error instanceof ApiError && UNKNOWN.includes(error.status)) return this.#bear(token);
      throw error;
    }
    remember(this.#memory, MARK, "1");
    return { api, bearer: null };
  }

  async #resume(): Promise<Session | Entrance<D>> {
    // A hub that is asked in vain answers with an error, which browsers show in their consoles.
    if (recall(this.#memory, MARK) === null) return { at: "out", reason: "" };
    const api = this.#makeApi(null);
    try {
      await api.ask("session");
    } catch (error) {
      const isNobody =
        error instanceof ApiError && [UNAUTHORIZED, ...UNKNOWN].includes(error.status);
      if (!isNobody) throw error;
      forget(this.#memory, MARK);
      return { at: "out", reason: "" };
    }
    return { api, bearer: null };
  }

  /** The hub keeps no sessions: see at least that it takes the token. */
  async #bear(token: string): Promise<Session> {
    const api = this.#makeApi(token);
    await api.ask("channels");
    return { api, bearer: token };
  }

  #refusal({ status, message }: ApiError, token: string | null): Entrance<D> {
    if (token === null || !REFUSALS.includes(status)) return { at: "unreachable", reason: message };
    return { at: "out", reason: `The hub does not take this token: ${message}.` };
  }

  #move(entrance: Entrance<D>): void {
    if (this.entrance.at === "in") this.entrance.desk.close();
    this.entrance = entrance;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The token of `#token=...`, which leaves the address, and with it the history, at once. */
export function takeToken(location: Location, history: History): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  return token?.trim() || null;
}
