// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import { useConnectionStats, useConnectionStatus, useWebSocket } from "../../src/react/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, pageOf, watcher, withPage } from "./page.tsx";

withPage();

test("the states as they come, with what went wrong", async () => {
  const { Watch, seen, now } = watcher(() => useConnectionStatus());
  const { hub } = await page(<Watch />);
  expect(seen[0]).toMatchObject({ state: "idle", isConnected: false, error: null });
  expect(now()).toMatchObject({
    state: "live",
    isConnected: true,
    isConnecting: false,
    error: null,
  });
  hub.isUp = false;
  hub.drop(1012, "restart");
  await elapse(1);
  expect(now()).toMatchObject({
    state: "reconnecting",
    isConnected: false,
    isConnecting: true,
    error: "restart",
    code: 1012,
    retryAt: Date.now() - 1 + 1000,
  });
  hub.isUp = true;
  await elapse(2000);
  expect(now()).toMatchObject({ isConnected: true, error: null, retryAt: null });
});

test("an error remains where nothing will be tried", async () => {
  const hub = new FakeHub();
  hub.takesToken = () => false;
  const { Watch, now } = watcher(() => useConnectionStatus());
  pageOf(hub, <Watch />);
  await elapse(1000);
  expect(now()).toMatchObject({
    state: "unauthorized",
    isConnecting: false,
    error: "send auth first",
    retryCount: 1,
  });
});

test("latency is rendered when it changes, and nothing else is", async () => {
  const { Watch, seen, now } = watcher(() => useConnectionStatus());
  const { hub } = await page(<Watch />);
  await elapse(6000);
  expect(now().latencyMs).toBe(0);
  const before = seen.length;
  hub.set("portfolio", { balance: "1" });
  await elapse(30_000);
  expect(seen).toHaveLength(before);
});

test("numbers of the connection, once a second", async () => {
  const { Watch, seen, now } = watcher(() => useConnectionStats());
  await page(<Watch />);
  await elapse(6500);
  expect(now()).toMatchObject({ connections: 1, clockSkewMs: 0, latencyMs: 0 });
  expect(now().framesPerSecond).toBeGreaterThan(0);
  // In StrictMode each is rendered twice.
  expect(seen.length / 2).toBeLessThanOrEqual(8);
});

test("an unmounted hook leaves no timer", async () => {
  const { Watch } = watcher(() => [useConnectionStatus(), useConnectionStats()]);
  const { show, hub } = await page(<Watch />);
  const before = vi.getTimerCount();
  show(null);
  await elapse(0);
  expect(vi.getTimerCount()).toBeLessThan(before);
  expect(hub.connections).toHaveLength(1);
});

test("callbacks are told of the connection, each the newest that was given", async () => {
  const told: string[] = [];
  let turn = "first";
  const { Watch } = watcher(() => {
    const mine = turn;
    return useWebSocket({
      onConnect: ({ state }) => told.push(`${mine} ${state}`),
      onDisconnect: ({ reason }) => told.push(`${mine} ${reason}`),
      onError: ({ message }) => told.push(`${mine} ${message}`),
    });
  });
  const { hub, show } = await page(<Watch />, { maxAttempts: 2 });
  expect(told).toEqual(["first live"]);
  turn = "second";
  show(<Watch key="again" />);
  await elapse(1);
  // Somebody who comes late is told too; in StrictMode everybody comes twice.
  expect(told.splice(0)).toEqual(["first live", "second live", "second live"]);
  hub.isUp = false;
  hub.drop(1012, "restart");
  await elapse(5000);
  expect(told).toEqual([
    "second restart",
    "second the connection ended: gave up after 2 attempts (1006)",
  ]);
});

test("nothing is called while disabled", async () => {
  const onConnect = vi.fn();
  const { Watch } = watcher(() => useWebSocket({ enabled: false, onConnect }));
  await page(<Watch />);
  expect(onConnect).not.toHaveBeenCalled();
});

test("it subscribes, publishes and reconnects", async () => {
  const { Watch, now } = watcher(() => useWebSocket());
  const { hub } = await page(<Watch />);
  const told: string[] = [];
  const stop = now().subscribe("notes", ({ type }) => told.push(type));
  await elapse(1);
  const published = now().publish("notes", "agent.pause", { reason: "lunch" });
  await elapse(1);
  await expect(published).resolves.toMatchObject({ channel: "notes", seq: 1 });
  expect(told).toEqual(["snapshot", "update"]);
  stop();
  hub.isUp = false;
  hub.drop();
  await elapse(1);
  hub.isUp = true;
  now().reconnectNow();
  await elapse(1);
  expect(now()).toMatchObject({ isConnected: true });
  expect(now().client.status.state).toBe("live");
});
