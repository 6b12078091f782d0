import { QueryClient } from "@tanstack/react-query";
import { act, cleanup, type RenderResult, render } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { afterEach } from "vitest";
import type { ClientOptions } from "../../src/client/index.ts";
import { ConnectionProvider } from "../../src/react/index.ts";
import { FakeHub, type FakeHubOptions } from "../../src/testing/index.ts";
import { pass, withFakeTime } from "../setup.ts";

/** Each test of the file has a page of its own, and decides when time passes. */
export function withPage(): void {
  withFakeTime();
  afterEach(async () => {
    cleanup();
    // The provider closes its client in the next turn.
    await pass(0);
  });
}

/** Let time pass, and all that is rendered for it. */
export async function elapse(milliseconds: number): Promise<void> {
  await act(() => pass(milliseconds));
}

export interface Page extends RenderResult {
  readonly hub: FakeHub;
  readonly queries: QueryClient;
  /** Show something else within the same provider. */
  show(children: ReactNode): void;
}

/** What is shown, in StrictMode and within a provider, of a hub that it is connected to. */
export async function page(
  children: ReactNode,
  options: ClientOptions = {},
  hubOptions: FakeHubOptions = {},
): Promise<Page> {
  const hub = new FakeHub(hubOptions);
  const opened = pageOf(hub, children, options);
  await elapse(1);
  return opened;
}

/** The same, before anything was heard of this hub. */
export function pageOf(hub: FakeHub, children: ReactNode, options: ClientOptions = {}): Page {
  const queries = new QueryClient();
  const within = (shown: ReactNode) => (
    <StrictMode>
      <ConnectionProvider
        url="ws://hub"
        WebSocket={hub.WebSocket}
        random={() => 1}
        queryClient={queries}
        {...options}
      >
        {shown}
      </ConnectionProvider>
    </StrictMode>
  );
  const rendered = render(within(children));
  return { ...rendered, hub, queries, show: (shown) => rendered.rerender(within(shown)) };
}

/** A component that calls a hook and keeps what it gave, each time that it was rendered. */
export function watcher<R>(hook: () => R): { Watch: () => ReactNode; seen: R[]; now: () => R } {
  const seen: R[] = [];
  const Watch = () => {
    seen.push(hook());
    return null;
  };
  const now = () => {
    const last = seen.at(-1);
    if (last === undefined) throw new Error("expected a component that was rendered");
    return last;
  };
  return { Watch, seen, now };
}
