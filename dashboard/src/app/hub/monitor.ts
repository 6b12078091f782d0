import type { AlignedData } from "uplot";
import { type Api, ApiError } from "../session/api.ts";
import { type Counts, newest, readCounts, type Sample, type Totals } from "./statistics.ts";

const EVERY_MS = 1000;
const KEPT = 300;
/** Rates are those of the last seconds. */
const COUNTED = 4;

/** What is known of the hub; a new object after each answer. */
export interface Report {
  readonly counts: Counts | null;
  readonly sample: Sample | null;
  /** Why there is nothing newer; null where all is well. */
  readonly error: string | null;
}

/** Asks the hub for its counts once a second, while the page that shows them is seen. */
export class Monitor {
  report: Report = { counts: null, sample: null, error: null };
  /** The last minutes, oldest first. */
  samples: readonly Sample[] = [];
  #api: Api;
  #counts: readonly Counts[] = [];
  #listeners = new Set<() => void>();
  #ended: AbortController | null = null;

  constructor(api: Api) {
    this.#api = api;
  }

  readonly getReport = (): Report => this.report;

  /** Asks while anybody listens. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#ended === null) {
      this.#ended = new AbortController();
      void this.#run(this.#ended.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#ended?.abort();
      this.#ended = null;
    };
  };

  /** Columns for a chart: seconds, and what `pick` makes of each sample. */
  columns(...pick: ((sample: Sample) => number | null)[]): AlignedData {
    const times = this.samples.map(({ at }) => at / 1000);
    return [times, ...pick.map((each) => this.samples.map(each))];
  }

  /** How many connections ended by code, over what is kept. */
  get closes(): Totals {
    const sums: Record<string, number> = {};
    for (const { closes } of this.samples) {
      for (const [code, rise] of Object.entries(closes)) sums[code] = (sums[code] ?? 0) + rise;
    }
    return sums;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (document.visibilityState === "visible") await this.#ask(signal);
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { sample } = this.report;
    try {
      const counts = readCounts(await this.#api.ask("hub", { signal }));
      if (signal.aborted) return;
      this.#counts = [...this.#counts, counts].slice(-COUNTED);
      const next = newest(this.#counts);
      if (next !== null) this.samples = [...this.samples, next].slice(-KEPT);
      this.report = { counts, sample: next ?? sample, error: null };
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      const isOld = error.status === 404;
      const why = isOld
        ? "This hub does not say how it does; it is older than this page."
        : error.message;
      this.report = { ...this.report, error: why };
    }
    for (const listener of [...this.#listeners]) listener();
  }
}
