// The one hook below all others: a channel as it is shown, selected from, and how fresh it is.

import { replaceEqualDeep, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { Freshness, Snapshot } from "../client/index.ts";
import { NOTHING } from "../client/store.ts";
import { useConnection } from "./provider.tsx";
import { channelQuery, isAnswered, mirror } from "./queries.ts";

/** What a hook knows of a channel. */
export interface Live<D> {
  /** What the hub said last, old or not: see `isStale`. Undefined before there is anything. */
  readonly data: D | undefined;
  /** Whether it is true: `live` alone says so. */
  readonly state: Freshness;
  readonly isLive: boolean;
  /** There is data, and it is old: show it as such, with `updatedAt`. */
  readonly isStale: boolean;
  /** Nothing was answered yet, and nothing went wrong. */
  readonly isLoading: boolean;
  /** Why there is nothing to show: the hub refuses the channel, or the connection was given up. */
  readonly error: Error | null;
  readonly isError: boolean;
  /** The hub answered, be it that there is nothing. */
  readonly isSuccess: boolean;
  /** When the newest change was published, in milliseconds by the hub's clock; null for none. */
  readonly updatedAt: number | null;
  /** Since when it is stale, in milliseconds; null where it is not, or that is not known. */
  readonly staleSince: number | null;
  /** Ask again where that failed. What comes by itself needs no asking. */
  readonly refetch: () => void;
}

/** What every hook of a channel takes. */
export interface LiveOptions<D, S = D> {
  /** Which one of the stream's channels: `acct-7` is `positions:acct-7`. */
  readonly key?: string | undefined;
  /** Whether it is followed; true by default. */
  readonly enabled?: boolean | undefined;
  /** At most one update in so long, conflated by the hub. A log ignores it. */
  readonly intervalMs?: number | undefined;
  /** The part that is wanted: the component is rendered when that, or its freshness, changes. */
  readonly select?: ((data: D) => S) | undefined;
}

/** What a channel's snapshot comes to; the same object for the same snapshot. */
export type View<T, D> = (snapshot: Snapshot<T>) => D | undefined;

interface Shown<S> {
  readonly data: S | undefined;
  readonly state: Freshness;
  readonly error: Error | null;
  readonly staleSince: number | null;
  readonly updatedAt: number | null;
  readonly isAnswered: boolean;
}

/** Follow a channel while the component is mounted. */
export function useLive<T, D, S = D>(
  stream: string,
  view: View<T, D>,
  { key, enabled = true, intervalMs, select }: LiveOptions<D, S> = {},
): Live<S> {
  const { client, queryClient } = useConnection();
  const channel = client.channel<T>(key === undefined ? stream : `${stream}:${key}`);

  useEffect(() => {
    if (!enabled) return undefined;
    if (intervalMs !== undefined) client.channel(channel.name, { intervalMs });
    return mirror(queryClient, client, channel);
  }, [queryClient, client, channel, enabled, intervalMs]);

  const last = useRef<Shown<S> | null>(null);
  const [getShown, getServerShown] = useMemo(() => {
    let seen: Snapshot<T> | null = null;
    let shown = last.current;
    const getShown = (): Shown<S> => {
      const snapshot = channel.getSnapshot();
      if (shown === null || seen !== snapshot) {
        const now = read(snapshot, view, select);
        // What the store shows is one object for all components; what they select is their own.
        shown = select === undefined ? now : share(shown, now);
      }
      seen = snapshot;
      return shown;
    };
    const onServer = read<T, D, S>(NOTHING, view, select);
    return [getShown, () => onServer];
  }, [channel, view, select]);
  const subscribe = useCallback(
    (listener: () => void) => (enabled ? channel.subscribe(listener) : () => {}),
    [channel, enabled],
  );
  const shown = useSyncExternalStore(subscribe, getShown, getServerShown);
  useEffect(() => {
    last.current = shown;
  }, [shown]);

  const query = useQuery({ ...channelQuery(client, channel), enabled }, queryClient);
  const { error: failure, refetch } = query;
  return useMemo(() => {
    const { isAnswered, state, data, staleSince, updatedAt } = shown;
    const error = shown.error ?? (isAnswered ? null : failure);
    return {
      data,
      state,
      isLive: state === "live",
      isStale: data !== undefined && state !== "live",
      isLoading: enabled && !isAnswered && error === null,
      error,
      isError: error !== null,
      isSuccess: isAnswered && error === null,
      updatedAt,
      staleSince,
      refetch: () => void refetch(),
    };
  }, [shown, failure, refetch, enabled]);
}

function read<T, D, S>(
  snapshot: Snapshot<T>,
  view: View<T, D>,
  select: ((data: D) => S) | undefined,
): Shown<S> {
  const { state, error, staleSince, ts } = snapshot;
  const viewed = view(snapshot);
  const data = viewed === undefined || select === undefined ? viewed : select(viewed);
  return {
    // Without `select` S is D.
    data: data as S | undefined,
    state,
    error,
    staleSince,
    updatedAt: ts === 0 ? null : ts / 1000,
    isAnswered: isAnswered(snapshot),
  };
}

/**
 * What stayed equal keeps its identity. Where nothing of it changed, neither did the time that is
 * shown: it counts when the data is stale, and becoming so is a change.
 */
function share<S>(before: Shown<S> | null, now: Shown<S>): Shown<S> {
  if (before === null) return now;
  const data = replaceEqualDeep(before.data, now.data) as S | undefined;
  const isSame =
    data === before.data &&
    now.state === before.state &&
    now.error === before.error &&
    now.staleSince === before.staleSince &&
    now.isAnswered === before.isAnswered;
  return isSame ? before : { ...now, data };
}
