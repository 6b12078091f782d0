import { createContext, useContext, useSyncExternalStore } from "react";
import type { Freshness, Snapshot } from "../../client/index.ts";
import { NOTHING } from "../../client/store.ts";
import { useChannel } from "../../react/index.ts";
import type { Standing } from "../equity/tracker.ts";
import { useNowAs } from "../time/clock.ts";
import type { Desk } from "./desk.ts";
import type { Ledger } from "./ledger.ts";

export interface Seat {
  readonly desk: Desk;
  /** The account that is looked at. */
  readonly ledger: Ledger;
}

export const SeatContext = createContext<Seat | null>(null);

export function useSeat(): Seat {
  const seat = useContext(SeatContext);
  if (seat === null) throw new Error("expected to be within SeatContext");
  return seat;
}

export function useDesk(): Desk {
  return useSeat().desk;
}

/** What a channel shows, be it nothing; followed while the component is there. */
export function useSnapshot(channel: string): Snapshot<unknown> {
  return useChannel<unknown>(channel).data ?? NOTHING;
}

/** A part of what a channel shows; renders again only when that, or its freshness, changes. */
export function useSelected<T>(channel: string, select: (snapshot: Snapshot<unknown>) => T): T {
  return useChannel<unknown, T>(channel, { select }).data ?? select(NOTHING);
}

const NO_DATA = { select: () => null };

/** Whether what a channel shows is true; renders again only when that changes. */
export function useFreshness(channel: string): Freshness {
  return useChannel<unknown, null>(channel, NO_DATA).state;
}

export function useStanding(): Standing {
  const { equity } = useSeat().ledger;
  return useSyncExternalStore(equity.subscribe, equity.getStanding);
}

/** The time by the hub's clock, as text or number that a function makes of it, once a second. */
export function useHubTimeAs<T extends string | number | boolean>(show: (now: number) => T): T {
  const { client } = useDesk();
  return useNowAs((now) => show(now - (client.stats.clockSkewMs ?? 0)));
}
