import type { Channel } from "../../client/index.ts";
import type { Memory } from "../data/memory.ts";
import { past } from "../data/past.ts";
import { type Portfolio, readPortfolio } from "../data/payloads.ts";
import { type Api, ApiError } from "../session/api.ts";
import { startOfDay } from "../time/format.ts";
import { dayOpen } from "./day.ts";
import { type Distance, EquityHistory } from "./history.ts";
import type { Point } from "./tier.ts";

/** What an account stands at; a new object whenever any of it changed. */
export interface Standing {
  readonly portfolio: Portfolio | null;
  readonly day: Distance | null;
  readonly drawdown: Distance | null;
}

const NOTHING: Standing = { portfolio: null, day: null, drawdown: null };

/** The hub keeps 10,000 entries unless it is told otherwise. */
const PAGES = 10;

/** Follows one account's portfolio for as long as somebody is logged in, and keeps its course. */
export class EquityTracker {
  readonly history = new EquityHistory();
  standing: Standing = NOTHING;
  #channel: Channel<unknown>;
  #memory: Memory;
  #now: () => number;
  #listeners = new Set<() => void>();
  #open: Point | null = null;
  #day = 0;

  constructor(channel: Channel<unknown>, memory: Memory, now: () => number = Date.now) {
    this.#channel = channel;
    this.#memory = memory;
    this.#now = now;
  }

  /** Follow until the signal. api: where to ask for the past, null where there is none. */
  start(api: Api | null, signal: AbortSignal): void {
    this.#channel.subscribe(() => this.#look(), { signal });
    this.#look();
    if (api !== null) void this.#loadPast(api, signal);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getStanding = (): Standing => this.standing;

  #look(): void {
    const { value, ts } = this.#channel.getSnapshot();
    if (value === undefined || value === null) return;
    const portfolio = readPortfolio(value);
    if (portfolio.equity !== null && ts > 0) {
      this.history.add({ at: ts / 1000, text: portfolio.equity });
    }
    this.#stand(portfolio);
  }

  async #loadPast(api: Api, signal: AbortSignal): Promise<void> {
    try {
      for await (const entries of past(api, this.#channel.name, PAGES, signal)) {
        this.history.prepend(entries.flatMap(equityOf));
        this.#open = null;
        if (this.standing.portfolio !== null) this.#stand(this.standing.portfolio);
      }
    } catch (error) {
      // Without a past the chart begins now; the connection says by itself what is wrong with it.
      if (!(error instanceof ApiError) && !signal.aborted) throw error;
    }
  }

  #stand(portfolio: Portfolio): void {
    const open = this.#dayOpen();
    this.standing = {
      portfolio,
      day: open === null ? null : this.history.distanceFrom(open),
      drawdown: this.history.drawdown,
    };
    for (const listener of [...this.#listeners]) listener();
  }

  /** Another epoch is another history, perhaps of another account. */
  get #name(): string {
    const { name } = this.#channel;
    return `${name} ${this.#channel.getSnapshot().position?.epoch ?? ""}`;
  }

  #dayOpen(): Point | null {
    const day = startOfDay(this.#now());
    if (this.#open !== null && this.#day === day) return this.#open;
    const seen = this.history.openAt(day);
    this.#day = day;
    this.#open = seen === null ? null : dayOpen(this.#memory, this.#name, this.#now(), seen);
    return this.#open;
  }
}

function equityOf({ at, data }: { at: number; data: unknown }): Point[] {
  const { equity } = readPortfolio(data);
  return equity === null ? [] : [{ at, text: equity }];
}
