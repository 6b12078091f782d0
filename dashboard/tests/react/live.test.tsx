// @vitest-environment happy-dom
import { QueryClient } from "@tanstack/react-query";
import { act } from "@testing-library/react";
import { type ReactNode, useEffect } from "react";
import { describe, expect, test, vi } from "vitest";
import { Client, type Snapshot } from "../../src/client/index.ts";
import {
  channelKey,
  type Live,
  type Portfolio,
  queryClient,
  useAge,
  useAgentStatus,
  useChannel,
  useClient,
  useDecisions,
  useDecisionsRealTime,
  useHealth,
  useHealthStatusRealTime,
  useLog,
  usePortfolio,
  usePortfolioRealTime,
  usePositions,
  usePositionsRealTime,
  useTable,
  useValue,
} from "../../src/react/index.ts";
import { channelQuery } from "../../src/react/queries.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, pageOf, watcher, withPage } from "./page.tsx";

withPage();

const BALANCE = { balance: "10000.00", equity: "10010.00" };

describe("what is shown", () => {
  test("loading, then what the hub has, then each change", async () => {
    const hub = new FakeHub();
    hub.set("portfolio", BALANCE);
    const { Watch, now, seen } = watcher(() => usePortfolio());
    pageOf(hub, <Watch />);
    expect(seen[0]).toMatchObject({
      data: undefined,
      isLoading: true,
      isStale: false,
      error: null,
    });
    await elapse(200);
    expect(now()).toMatchObject({
      data: BALANCE,
      state: "live",
      isLive: true,
      isLoading: false,
      isSuccess: true,
      updatedAt: Date.now() - 200,
    });
    await elapse(1000);
    hub.set("portfolio", { balance: "9000.00" });
    await elapse(100);
    expect(now()).toMatchObject({ data: { balance: "9000.00" }, updatedAt: Date.now() - 100 });
  });

  test("nothing published yet is an answer, and no number", async () => {
    const hub = new FakeHub();
    hub.restart("portfolio", "value");
    hub.restart("positions", "table");
    const value = watcher(() => usePortfolio());
    const rows = watcher(() => usePositions());
    const log = watcher(() => useDecisions());
    pageOf(hub, [<value.Watch key="v" />, <rows.Watch key="r" />, <log.Watch key="l" />]);
    await elapse(200);
    for (const { now } of [value, rows, log]) {
      expect(now()).toMatchObject({ isLoading: false, isSuccess: true, updatedAt: null });
    }
    expect([value.now().data, rows.now().data, log.now().data]).toEqual([undefined, [], []]);
  });

  test("a silent producer makes it stale, with since when", async () => {
    const { Watch, now } = watcher(() => usePortfolio());
    const { hub } = await page(<Watch />);
    hub.set("portfolio", BALANCE);
    await elapse(200);
    expect(now().isStale).toBe(false);
    hub.mark("portfolio", "stale");
    const since = Date.now();
    await elapse(200);
    expect(now()).toMatchObject({
      data: BALANCE,
      state: "stale",
      isStale: true,
      isLive: false,
      staleSince: since,
    });
    hub.mark("portfolio", "live");
    await elapse(200);
    expect(now()).toMatchObject({ isStale: false, staleSince: null });
  });

  test("a lost connection makes it stale, and what comes back goes on", async () => {
    const { Watch, now } = watcher(() => usePortfolio());
    const { hub } = await page(<Watch />);
    hub.set("portfolio", BALANCE);
    await elapse(200);
    hub.drop();
    hub.set("portfolio", { balance: "1.00" });
    await elapse(200);
    expect(now()).toMatchObject({ data: BALANCE, isStale: true, error: null });
    await elapse(2000);
    expect(now()).toMatchObject({ data: { balance: "1.00" }, isStale: false });
  });

  test("a channel that may not be read says why, and is tried again on request", async () => {
    const hub = new FakeHub();
    hub.mayRead = (channel) => channel !== "portfolio";
    hub.set("portfolio", BALANCE);
    const { Watch, now } = watcher(() => usePortfolio());
    const refused = pageOf(hub, <Watch />);
    await elapse(200);
    expect(now()).toMatchObject({ state: "refused", isLoading: false, isError: true });
    expect(now().error?.message).toContain("does not allow reading portfolio (4403)");
    hub.mayRead = () => true;
    refused.show(null);
    await elapse(2000);
    refused.show(<Watch />);
    await elapse(2000);
    expect(now()).toMatchObject({ data: BALANCE, isError: false });
  });

  test("who is not let in learns it, and has the data as soon as that changes", async () => {
    const hub = new FakeHub();
    hub.takesToken = (token) => token === "good";
    hub.set("portfolio", BALANCE);
    let client: Client | undefined;
    const { Watch, now } = watcher(() => {
      client = useClient();
      return usePortfolio();
    });
    let token = "bad";
    pageOf(hub, <Watch />, { getToken: () => token });
    await elapse(5000);
    expect(now()).toMatchObject({ isLoading: false, isError: true });
    expect(now().error?.message).toContain("4401");
    token = "good";
    act(() => client?.reconnectNow());
    await elapse(200);
    expect(now()).toMatchObject({ data: BALANCE, isError: false, error: null });
  });

  test("a client that gave up says so, and refetch asks again once it is back", async () => {
    const hub = new FakeHub();
    hub.isUp = false;
    hub.set("portfolio", BALANCE);
    let client: Client | undefined;
    const { Watch, now } = watcher(() => {
      client = useClient();
      return usePortfolio();
    });
    pageOf(hub, <Watch />, { maxAttempts: 1 });
    await elapse(5000);
    expect(now().error?.message).toContain("gave up after 1 attempts");
    hub.isUp = true;
    act(() => {
      client?.reconnectNow();
      now().refetch();
    });
    await elapse(200);
    expect(now()).toMatchObject({ data: BALANCE, error: null, isLive: true });
  });

  test("old data is stale, and asking again in vain is no reason to hide it", async () => {
    const { Watch, now } = watcher(() => usePortfolio());
    const { hub } = await page(<Watch />, { maxAttempts: 1 });
    hub.set("portfolio", BALANCE);
    await elapse(200);
    hub.isUp = false;
    hub.drop();
    await elapse(5000);
    act(() => now().refetch());
    await elapse(5000);
    expect(now()).toMatchObject({ data: BALANCE, isStale: true, error: null, isError: false });
  });

  test("disabled, nothing is followed", async () => {
    const { Watch, now } = watcher(() => usePortfolio({ enabled: false }));
    const { hub } = await page(<Watch />);
    hub.set("portfolio", BALANCE);
    await elapse(1000);
    expect(hub.heard.filter(({ method }) => method === "subscribe")).toEqual([]);
    expect(now()).toMatchObject({ data: undefined, isLoading: false, state: "idle" });
  });

  test("another key is another channel at once", async () => {
    const hub = new FakeHub();
    hub.set("portfolio:a", { balance: "1.00" });
    hub.set("portfolio:b", { balance: "2.00" });
    const seen: (string | undefined)[] = [];
    function Account({ name }: { name: string }): ReactNode {
      seen.push(usePortfolio({ key: name }).data?.balance);
      return null;
    }
    const desk = pageOf(hub, <Account name="a" />);
    await elapse(200);
    expect(seen.at(-1)).toBe("1.00");
    const before = seen.length;
    desk.show(<Account name="b" />);
    await elapse(200);
    expect(seen.slice(before)).not.toContain("1.00");
    expect(seen.at(-1)).toBe("2.00");
  });

  test("an interval is asked of the hub", async () => {
    const { Watch } = watcher(() => usePortfolio({ intervalMs: 50 }));
    const { hub } = await page(<Watch />);
    const asked = hub.heard.filter(({ method }) => method === "subscribe");
    expect(asked.at(-1)?.params).toMatchObject({ channel: "portfolio", interval_ms: 50 });
  });
});

describe("by kind", () => {
  test("positions are rows, and one that did not change is the same object", async () => {
    const { Watch, now } = watcher(() => usePositions());
    const { hub } = await page(<Watch />);
    hub.patch("positions", { upsert: { a: { id: "a", size: "1" }, b: { id: "b", size: "2" } } });
    await elapse(200);
    const before = now().data;
    expect(before).toEqual([
      { id: "a", size: "1" },
      { id: "b", size: "2" },
    ]);
    hub.patch("positions", { upsert: { b: { id: "b", size: "3" } }, delete: [] });
    await elapse(200);
    expect(now().data?.map(({ size }) => size)).toEqual(["1", "3"]);
    expect(now().data?.[0]).toBe(before?.[0]);
    hub.patch("positions", { delete: ["a"] });
    await elapse(200);
    expect(now().data?.map(({ id }) => id)).toEqual(["b"]);
  });

  test("decisions come newest first, and one that was carried out keeps its place", async () => {
    const { Watch, now } = watcher(() => useDecisions());
    const { hub } = await page(<Watch />);
    hub.append("decisions", { id: "d1", executed: false }, "decision_made");
    hub.append("decisions", { id: "d2", executed: false }, "decision_made");
    hub.append("decisions", { id: "d1", executed: true }, "decision_updated");
    hub.append("decisions", { note: "no id" });
    await elapse(200);
    expect(now().data).toEqual([
      { note: "no id" },
      { id: "d2", executed: false },
      { id: "d1", executed: true },
    ]);
  });

  test("status, health and channels of one's own", async () => {
    const all = watcher(() => ({
      status: useAgentStatus({ select: ({ ooda_state }) => ooda_state }).data,
      health: useHealth({ select: ({ state }) => state }).data,
      value: useValue<number>("limits").data,
      rows: useTable<{ n: number }>("orders").data,
      log: useLog<string>("alerts").data?.map(({ event, data }) => `${event} ${data}`),
      whole: useChannel<number, Snapshot<number>["kind"]>("limits", { select: ({ kind }) => kind })
        .data,
    }));
    const { hub } = await page(<all.Watch />);
    hub.set("status", { ooda_state: "REASONING" });
    hub.set("health", { state: "ok" });
    hub.set("limits", 7);
    hub.patch("orders", { upsert: { o1: { n: 1 } } });
    hub.append("alerts", "one", "alert");
    hub.append("alerts", "two", "alert");
    await elapse(200);
    expect(all.now()).toEqual({
      status: "REASONING",
      health: "ok",
      value: 7,
      rows: [{ n: 1 }],
      log: ["alert two", "alert one"],
      whole: "value",
    });
  });

  test("the old names are the same hooks", () => {
    expect(usePortfolioRealTime).toBe(usePortfolio);
    expect(usePositionsRealTime).toBe(usePositions);
    expect(useDecisionsRealTime).toBe(useDecisions);
    expect(useHealthStatusRealTime).toBe(useHealth);
  });
});

describe("how often is rendered", () => {
  test("a thousand updates a second render ten times", async () => {
    const { Watch, seen, now } = watcher(() => usePortfolio());
    const { hub } = await page(<Watch />);
    await elapse(200);
    const before = seen.length;
    for (let n = 0; n < 1000; n += 1) {
      hub.set("portfolio", { balance: String(n) });
      await elapse(1);
    }
    await elapse(100);
    // In StrictMode each is rendered twice.
    expect((seen.length - before) / 2).toBeGreaterThanOrEqual(9);
    expect((seen.length - before) / 2).toBeLessThanOrEqual(12);
    expect(now().data?.balance).toBe("999");
  });

  test("a selection is rendered when it changes, and keeps its identity until then", async () => {
    const { Watch, seen, now } = watcher(() =>
      usePortfolio({ select: ({ mode, currency }) => ({ mode, currency }) }),
    );
    const { hub } = await page(<Watch />);
    hub.set("portfolio", { mode: "paper", currency: "USD", balance: "1" });
    await elapse(200);
    const { data } = now();
    const before = seen.length;
    for (let n = 0; n < 10; n += 1) {
      hub.set("portfolio", { mode: "paper", currency: "USD", balance: String(n) });
      await elapse(150);
    }
    expect(seen).toHaveLength(before);
    hub.mark("portfolio", "stale");
    await elapse(200);
    expect(seen.length).toBeGreaterThan(before);
    expect(now().isStale).toBe(true);
    // What is stale is dated by the newest that was published, not by the last that was rendered.
    expect(now().updatedAt).toBe(Date.now() - 350);
    expect(now().data).toBe(data);
  });

  test("all that share a channel see the same at any time", async () => {
    const torn: unknown[] = [];
    const values: unknown[] = [];
    function Reader(): ReactNode {
      const { data } = usePortfolio();
      values.push(data);
      useEffect(() => {
        if (values.at(-1) !== data) torn.push(data);
      });
      return null;
    }
    const { hub } = await page([<Reader key="1" />, <Reader key="2" />, <Reader key="3" />]);
    for (let n = 0; n < 20; n += 1) {
      hub.set("portfolio", { balance: String(n) });
      await elapse(70);
    }
    expect(torn).toEqual([]);
    expect(values.at(-1)).toEqual({ balance: "19" });
  });
});

describe("the cache", () => {
  test("a late answer never overwrites a newer push", async () => {
    const hub = new FakeHub();
    hub.set("portfolio", { balance: "1.00" });
    const { Watch, now, seen } = watcher(() => usePortfolio());
    let client: Client | undefined;
    const Own = () => {
      client = useClient();
      return null;
    };
    const { queries } = pageOf(hub, [<Own key="o" />, <Watch key="w" />]);
    await elapse(200);
    // An answer that has been on its way since before the push.
    const key = channelKey(client as Client, "portfolio");
    const old = queries.getQueryData(key);
    hub.set("portfolio", { balance: "2.00" });
    await elapse(200);
    const before = seen.length;
    const query = channelQuery(client as Client, (client as Client).channel("portfolio"));
    await act(async () => {
      await queries.fetchQuery({ ...query, queryFn: async () => old as never, staleTime: 0 });
    });
    await elapse(200);
    expect(now().data).toEqual({ balance: "2.00" });
    expect(seen.slice(before).filter(({ data }) => data?.balance === "1.00")).toEqual([]);
    expect(queries.getQueryData<Snapshot<unknown>>(key)?.value).toEqual({ balance: "2.00" });
  });

  test("it follows each push, also for what reads it alone", async () => {
    const hub = new FakeHub();
    const { Watch } = watcher(() => [usePortfolio(), usePortfolio()]);
    let client: Client | undefined;
    const Own = () => {
      client = useClient();
      return null;
    };
    const desk = pageOf(hub, [<Own key="o" />, <Watch key="w" />]);
    await elapse(1);
    const key = channelKey(client as Client, "portfolio");
    const write = vi.spyOn(desk.queries, "setQueryData");
    hub.set("portfolio", { balance: "3.00" });
    await elapse(1000);
    expect(desk.queries.getQueryData<Snapshot<unknown>>(key)?.value).toEqual({ balance: "3.00" });
    expect(write).toHaveBeenCalledOnce();
    desk.show(<Own key="o" />);
    await elapse(299_000);
    expect(desk.queries.getQueryData(key)).toBeDefined();
    await elapse(2000);
    expect(desk.queries.getQueryData(key)).toBeUndefined();
  });

  test("it follows as long as anybody does", async () => {
    const [one, other] = [watcher(() => usePortfolio()), watcher(() => usePortfolio())];
    const client = new Client("ws://nowhere");
    const { hub, show, queries } = await page([<one.Watch key="1" />, <other.Watch key="2" />]);
    await elapse(200);
    show([<one.Watch key="1" />]);
    hub.set("portfolio", { balance: "4.00" });
    await elapse(200);
    const [[key] = []] = queries.getQueriesData<Snapshot<unknown>>({ queryKey: ["tapecast"] });
    expect(queries.getQueryData<Snapshot<unknown>>(key ?? [])?.value).toEqual({ balance: "4.00" });
    // What is cached of one client is nothing to another.
    expect(queries.getQueryData(channelKey(client, "portfolio"))).toBeUndefined();
  });

  test("neither focus nor the network makes it ask again", async () => {
    const { Watch } = watcher(() => usePortfolio());
    const { hub } = await page(<Watch />);
    hub.set("portfolio", BALANCE);
    await elapse(60_000);
    const heard = () => hub.heard.filter(({ method }) => method !== "ping").length;
    const before = heard();
    await act(async () => {
      window.dispatchEvent(new Event("visibilitychange"));
      window.dispatchEvent(new Event("focus"));
      window.dispatchEvent(new Event("online"));
    });
    await elapse(10_000);
    expect(heard()).toBe(before);
  });

  test("a QueryClient is ready made", () => {
    expect(queryClient).toBeInstanceOf(QueryClient);
    expect(queryClient.getDefaultOptions().queries).toMatchObject({
      staleTime: 30_000,
      gcTime: 300_000,
      retry: 1,
      refetchOnWindowFocus: false,
    });
  });
});

test("the age of a number grows by the hub's clock", async () => {
  const age = watcher(() => useAge(usePortfolio().updatedAt));
  const { hub } = await page(<age.Watch />);
  expect(age.now()).toBeNull();
  hub.set("portfolio", BALANCE);
  await elapse(3000);
  expect(age.now()).toBeGreaterThanOrEqual(2000);
  expect(age.now()).toBeLessThanOrEqual(3000);
});

test("what a hook gives has types", () => {
  const check = (live: Live<Portfolio>): string | undefined => live.data?.balance;
  expect(check).toBeTypeOf("function");
});
