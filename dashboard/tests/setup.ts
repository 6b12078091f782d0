import { afterEach, beforeEach, vi } from "vitest";
import { Client, type ClientOptions, type Events } from "../src/client/index.ts";
import { FakeHub, type FakeHubOptions } from "../src/testing/index.ts";

/** Each test of the file decides when time passes. */
export function withFakeTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
}

/** Let time pass, and all that waits for it happen. */
export async function pass(milliseconds: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

/** A client of a fake hub, with what it told. */
export interface Rig {
  readonly hub: FakeHub;
  readonly client: Client;
  readonly states: string[];
  readonly told: (keyof Events)[];
}

/** A client that is not connected yet, and waits as long as it may between attempts. */
export function rig(options: ClientOptions = {}, hubOptions: FakeHubOptions = {}): Rig {
  const hub = new FakeHub(hubOptions);
  const client = new Client("ws://hub", { WebSocket: hub.WebSocket, random: () => 1, ...options });
  const states: string[] = [];
  const told: (keyof Events)[] = [];
  client.on("status", ({ state }) => {
    if (states.at(-1) !== state) states.push(state);
  });
  for (const name of ["connected", "disconnected", "error", "connection_failed"] as const) {
    client.on(name, () => told.push(name));
  }
  return { hub, client, states, told };
}

/** The same, connected. */
export async function connected(
  options: ClientOptions = {},
  hubOptions: FakeHubOptions = {},
): Promise<Rig> {
  const made = rig(options, hubOptions);
  made.client.connect();
  await pass(0);
  return made;
}
