// What TanStack Query keeps of channels. The client's store is the one truth: the cache has what
// the store shows, whoever writes to it and however late.

import { QueryClient, type QueryKey } from "@tanstack/react-query";
import { type Channel, type Client, HubError, type Snapshot } from "../client/index.ts";
import { NORMAL, UNAUTHORIZED } from "../client/protocol.ts";

/** How first answers are asked for; the connection itself brings all later ones. */
export const CHANNEL_QUERY = {
  staleTime: 30_000,
  gcTime: 300_000,
  retry: 1,
  refetchOnWindowFocus: false,
  refetchOnReconnect: false,
  // A hub may be reached where a browser believes itself offline.
  networkMode: "always",
} as const;

/** A QueryClient ready made, with the same settings for queries of the application. */
export const queryClient = new QueryClient({ defaultOptions: { queries: CHANNEL_QUERY } });

const numbers = new WeakMap<Client, number>();
let clients = 0;

/** Under which key a channel is cached: that of another client, of another token, is another. */
export function channelKey(client: Client, channel: string): QueryKey {
  let number = numbers.get(client);
  if (number === undefined) {
    clients += 1;
    number = clients;
    numbers.set(client, number);
  }
  return ["tapecast", number, channel];
}

/** The options of a channel's query. */
export function channelQuery<T>(client: Client, channel: Channel<T>) {
  return {
    ...CHANNEL_QUERY,
    queryKey: channelKey(client, channel.name),
    queryFn: ({ signal }: { signal: AbortSignal }) => firstAnswer(client, channel, signal),
    // Between an answer and its way into the cache, something newer may have come.
    structuralSharing: () => channel.getSnapshot(),
  };
}

const mirrors = new WeakMap<QueryClient, Map<Channel<unknown>, { count: number; stop(): void }>>();

/** Keep the cache equal to what is shown; returns what ends it. Many may ask, one writes. */
export function mirror(queries: QueryClient, client: Client, channel: Channel<unknown>) {
  const ofQueries = mirrors.get(queries) ?? new Map();
  mirrors.set(queries, ofQueries);
  const mirrored = ofQueries.get(channel) ?? { count: 0, stop: write(queries, client, channel) };
  ofQueries.set(channel, mirrored);
  mirrored.count += 1;
  return () => {
    mirrored.count -= 1;
    if (mirrored.count > 0) return;
    ofQueries.delete(channel);
    mirrored.stop();
  };
}

function write(queries: QueryClient, client: Client, channel: Channel<unknown>): () => void {
  const key = channelKey(client, channel.name);
  return channel.subscribe(() => {
    const snapshot = channel.getSnapshot();
    if (isAnswered(snapshot)) queries.setQueryData(key, snapshot);
  });
}

/** Whether the hub has said what the channel carries, be it nothing. */
export function isAnswered({ state, position }: Snapshot<unknown>): boolean {
  return state === "live" || state === "stale" || position !== null;
}

async function firstAnswer<T>(
  client: Client,
  channel: Channel<T>,
  signal: AbortSignal,
): Promise<Snapshot<T>> {
  const ended = new AbortController();
  const look = () => {
    const { state, code, reason, retryAt } = client.status;
    const isGivenUp = state === "closed" && code !== NORMAL;
    if (isGivenUp || (state === "unauthorized" && retryAt === null)) {
      ended.abort(new HubError(code ?? UNAUTHORIZED, reason));
    }
  };
  const abort = () => ended.abort(signal.reason);
  const stop = client.on("status", look);
  signal.addEventListener("abort", abort);
  look();
  try {
    return await channel.ready({ signal: ended.signal });
  } finally {
    stop();
    signal.removeEventListener("abort", abort);
  }
}
