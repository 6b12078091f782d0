// What happened to continuity, read from the frames: where channels were resumed, where they could
// not be, and where something was missing or left out on purpose.

import { count, fields, text } from "../data/reading.ts";
import type { Direction } from "./frames.ts";

export type Happening = "asked" | "resumed" | "snapshot" | "reset" | "stale" | "live" | "notice";

export interface Note {
  readonly n: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly what: Happening;
  readonly channel: string;
  readonly text: string;
}

const MAX_NOTES = 200;
/** Replies and what the hub says of itself begin so; what channels carry does not. */
const RARE = /^\{"(id|type)":/;

export class Journal {
  notes: readonly Note[] = [];
  #asked = new Map<number, { channel: string; since: number | null }>();
  #count = 0;

  /** Look at a frame; returns whether something was noted. */
  hear(direction: Direction, frame: string, at: number): boolean {
    if (direction === "in" && !RARE.test(frame)) return false;
    const said = fields(parsed(frame));
    return direction === "out" ? this.#sent(said, at) : this.#received(said, at);
  }

  #sent({ id, method, params }: Record<string, unknown>, at: number): boolean {
    if (method !== "subscribe") return false;
    const asked = fields(params);
    const channel = text(asked.channel) ?? "?";
    const since = asked.since == null ? null : count(fields(asked.since).seq);
    this.#asked.set(Number(id), { channel, since });
    if (since === null) return false;
    return this.#note(at, "asked", channel, `what came after ${since}?`);
  }

  #received(said: Record<string, unknown>, at: number): boolean {
    if (said.type === "channel") return this.#state(said, at);
    if (said.type === "notice") {
      const wait = count(said.in_ms) ?? 0;
      return this.#note(at, "notice", "", `${text(said.code) ?? "notice"} in ${wait} ms`);
    }
    const id = count(said.id);
    const asked = id === null ? undefined : this.#asked.get(id);
    if (id === null || asked === undefined) return false;
    this.#asked.delete(id);
    return this.#answered(asked, said, at);
  }

  #answered(
    { channel, since }: { channel: string; since: number | null },
    { result, error }: Record<string, unknown>,
    at: number,
  ): boolean {
    if (error !== undefined) {
      const { code, message } = fields(error);
      return this.#note(at, "reset", channel, `refused: ${String(code)} ${String(message)}`);
    }
    const { seq, recovered } = fields(result);
    const head = count(seq) ?? 0;
    if (since === null) return this.#note(at, "snapshot", channel, `begins at ${head}`);
    if (recovered !== true) {
      return this.#note(
        at,
        "reset",
        channel,
        `could not go on from ${since}: a snapshot at ${head}`,
      );
    }
    const missed = head - since;
    const what = missed === 0 ? "nothing was missed" : `${missed} missed, all of them follow`;
    return this.#note(at, "resumed", channel, `from ${since}: ${what}`);
  }

  #state({ channel, state }: Record<string, unknown>, at: number): boolean {
    const name = text(channel) ?? "?";
    if (state === "reset") return this.#note(at, "reset", name, "its history begins anew");
    if (state === "stale") return this.#note(at, "stale", name, "its producer missed the deadline");
    return this.#note(at, "live", name, "its producer is back");
  }

  #note(at: number, what: Happening, channel: string, said: string): true {
    this.#count += 1;
    const note = { n: this.#count, at, what, channel, text: said };
    this.notes = [note, ...this.notes].slice(0, MAX_NOTES);
    return true;
  }
}

function parsed(frame: string): unknown {
  try {
    return JSON.parse(frame) as unknown;
  } catch {
    return null;
  }
}
