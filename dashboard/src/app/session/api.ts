// What the page asks of its hub over HTTP. A browser shows the session's cookie by itself; only
// a hub that knows no sessions is shown the token.

import { count, fields, text } from "../data/reading.ts";

/** An answer that is not what was asked for; `status` is 0 where none came. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Request {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export class Api {
  #bearer: string | null;
  #fetch: Fetch;

  /** bearer: shown with each request, where the hub keeps no session. */
  constructor(bearer: string | null = null, fetch: Fetch = (url, init) => window.fetch(url, init)) {
    this.#bearer = bearer;
    this.#fetch = fetch;
  }

  /** Ask, and give what the hub answered; undefined where that is empty. Raises ApiError. */
  async ask(path: string, { method = "GET", body, signal }: Request = {}): Promise<unknown> {
    const headers: Record<string, string> = {};
    if (this.#bearer !== null) headers.Authorization = `Bearer ${this.#bearer}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers, cache: "no-store", credentials: "same-origin" };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal !== undefined) init.signal = signal;
    let answer: Response;
    try {
      answer = await this.#fetch(`/api/v1/${path}`, init);
    } catch (error) {
      signal?.throwIfAborted();
      throw new ApiError(0, `the hub does not answer (${String(error)})`);
    }
    if (!answer.ok) throw new ApiError(answer.status, await complaint(answer));
    if (answer.status === 204) return undefined;
    try {
      return (await answer.json()) as unknown;
    } catch {
      throw new ApiError(answer.status, "expected JSON of the hub");
    }
  }
}

/** What went wrong in the hub's words: `{"error": {"message"}}`. */
async function complaint(answer: Response): Promise<string> {
  const usual = `${answer.status} ${answer.statusText}`.trim();
  try {
    return text(fields(fields(await answer.json()).error).message) ?? usual;
  } catch {
    return usual;
  }
}

export interface ListedChannel {
  readonly name: string;
  readonly kind: string;
  readonly ageMs: number | null;
  readonly stale: boolean;
}

/** The rows of a listing of channels. */
export function readChannels(answer: unknown): readonly ListedChannel[] {
  const { channels } = fields(answer);
  if (!Array.isArray(channels)) return [];
  return channels
    .map(fields)
    .flatMap(({ name, kind, age_ms, stale }) =>
      typeof name === "string"
        ? [{ name, kind: text(kind) ?? "?", ageMs: count(age_ms), stale: stale === true }]
        : [],
    );
}

/** The patterns of agents' channels that a session may command; null of a hub that says none. */
export function readCommanding(answer: unknown): readonly string[] | null {
  const { command } = fields(answer);
  return Array.isArray(command) ? command.filter((each) => typeof each === "string") : null;
}

/** Whether a pattern takes a channel: `*`, `positions:*`, or the channel itself. */
export function matches(pattern: string, channel: string): boolean {
  if (pattern === "*") return true;
  return pattern.endsWith(":*") ? channel.startsWith(pattern.slice(0, -1)) : channel === pattern;
}
