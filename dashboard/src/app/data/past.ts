// What a channel carried before this page was opened, from the hub's history.

import type { Api } from "../session/api.ts";
import { count, fields, text } from "./reading.ts";

export interface PastEntry {
  readonly seq: number;
  readonly event: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly data: unknown;
}

const PAGE = 1000;

/**
 * The pages of a channel's past, newest page first and each oldest entry first. Ends where the hub
 * keeps no more, or after `pages`. Raises ApiError.
 */
export async function* past(
  api: Api,
  channel: string,
  pages: number,
  signal: AbortSignal,
): AsyncGenerator<readonly PastEntry[]> {
  let before: number | null = null;
  for (let page = 0; page < pages; page += 1) {
    const since: number | null = before === null ? null : Math.max(0, before - PAGE - 1);
    const query = since === null ? "" : `&since=${since}`;
    const path = `channels/${encodeURIComponent(channel)}/history?limit=${PAGE}${query}`;
    const entries = readEntries(await api.ask(path, { signal }));
    const limit: number = before ?? Number.POSITIVE_INFINITY;
    const older: readonly PastEntry[] = entries.filter(({ seq }) => seq < limit);
    const first: PastEntry | undefined = older[0];
    if (first === undefined) return;
    yield older;
    // Fewer than were asked for: the hub has forgotten what was before.
    if (first.seq <= 1 || (since !== null && first.seq > since + 1)) return;
    before = first.seq;
  }
}

function readEntries(answer: unknown): readonly PastEntry[] {
  const { entries } = fields(answer);
  if (!Array.isArray(entries)) return [];
  return entries.map(fields).flatMap(({ seq, event, ts, data }) => {
    const [number, micros] = [count(seq), count(ts)];
    if (number === null || micros === null) return [];
    return [{ seq: number, event: text(event) ?? "", at: micros / 1000, data }];
  });
}
