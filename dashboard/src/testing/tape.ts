import type { Kind, Position, SubscribeResult } from "../client/protocol.ts";

/** One update as the hub sends it. */
export interface TapeUpdate {
  readonly channel: string;
  readonly type: "update";
  readonly event: string;
  readonly epoch: string;
  readonly seq: number;
  readonly tag: string;
  readonly ts: number;
  readonly data: unknown;
}

/** What a publish does to a channel, by its kind. */
export interface TableChange {
  readonly upsert?: Readonly<Record<string, unknown>>;
  readonly delete?: readonly string[];
}

/** One channel of the fake hub: its history and its state. */
export class Tape {
  readonly name: string;
  kind: Kind;
  stale = false;
  #epoch = "";
  #updates: TapeUpdate[] = [];
  #seq = 0;
  #value: unknown = null;
  #rows = new Map<string, unknown>();
  #history: number;
  #epochs = 0;

  constructor(name: string, kind: Kind, history: number) {
    this.name = name;
    this.kind = kind;
    this.#history = history;
  }

  get position(): Position {
    const tag = this.#seq === 0 ? "" : tagOf(this.#epoch, this.#seq);
    return { epoch: this.#epoch, seq: this.#seq, tag };
  }

  /** Write the next update. */
  write(event: string, data: unknown): TapeUpdate {
    if (this.#epoch === "") this.begin(this.kind);
    this.#seq += 1;
    const { epoch, seq, tag } = this.position;
    const ts = Date.now() * 1000;
    const update = {
      channel: this.name,
      type: "update",
      event,
      epoch,
      seq,
      tag,
      ts,
      data,
    } as const;
    this.#updates.push(update);
    this.#take(data);
    return update;
  }

  /** Begin a new history, of this kind. */
  begin(kind: Kind): void {
    this.#epochs += 1;
    this.#epoch = `e${this.#epochs}`;
    this.#seq = 0;
    this.kind = kind;
    this.#value = null;
    this.#rows.clear();
    this.#updates = [];
  }

  /** Forget the updates so far, but not what they came to. */
  forget(): void {
    this.#updates = [];
  }

  snapshot(): object {
    const { name: channel, position } = this;
    const ts = this.#updates.at(-1)?.ts ?? 0;
    return { channel, type: "snapshot", ...position, ts, data: this.#data() };
  }

  subscribed(recovered: boolean, intervalMs: number): SubscribeResult {
    const { name: channel, kind, stale, position } = this;
    const interval_ms = kind === "log" ? 0 : intervalMs;
    return { channel, ...position, kind, stale, recovered, interval_ms };
  }

  /** What was missed since a position; null where that can't be had. */
  since(since: Position): readonly object[] | null {
    const { epoch, seq } = this.position;
    const isEmpty = since.epoch === "" && since.seq === 0;
    const isOurs = since.epoch === epoch && since.tag === tagOf(epoch, since.seq);
    if (!isEmpty && !isOurs) return null;
    const missed = this.#updates.filter((update) => update.seq > since.seq);
    if (missed.length !== seq - since.seq) return null;
    return this.kind === "log" ? missed : this.#conflated(missed, since.seq);
  }

  #conflated(missed: readonly TapeUpdate[], prev: number): readonly object[] {
    const last = missed.at(-1);
    if (last === undefined || missed.length === 1) return missed;
    const data = this.kind === "value" ? last.data : this.#differing(missed);
    return [{ ...last, prev, skipped: missed.length - 1, data }];
  }

  #differing(missed: readonly TapeUpdate[]): TableChange {
    const keys = new Set<string>();
    for (const { data } of missed) {
      const { upsert = {}, delete: deleted = [] } = data as TableChange;
      for (const key of [...Object.keys(upsert), ...deleted]) keys.add(key);
    }
    const kept = [...keys].filter((key) => this.#rows.has(key));
    const upsert = Object.fromEntries(kept.map((key) => [key, this.#rows.get(key)]));
    return { upsert, delete: [...keys].filter((key) => !this.#rows.has(key)) };
  }

  #take(data: unknown): void {
    if (this.kind === "table") {
      const { upsert = {}, delete: deleted = [] } = data as TableChange;
      for (const [key, row] of Object.entries(upsert)) this.#rows.set(key, row);
      for (const key of deleted) this.#rows.delete(key);
    } else if (this.kind === "value") this.#value = data;
  }

  #data(): unknown {
    if (this.kind === "value") return this.#value;
    if (this.kind === "table") return { rows: Object.fromEntries(this.#rows) };
    const entries = this.#updates.slice(-this.#history);
    return { entries: entries.map(({ seq, event, ts, data }) => ({ seq, event, ts, data })) };
  }
}

function tagOf(epoch: string, seq: number): string {
  return seq === 0
    ? ""
    : (seq + 0x1000_0000 * Number(epoch.slice(1))).toString(16).padStart(8, "0");
}
