// @vitest-environment happy-dom
import { act } from "@testing-library/react";
import { describe, expect, test, vi } from "vitest";
import { FORBIDDEN, type Publish } from "../../src/client/protocol.ts";
import { type Attempt, type SendOptions, useClient, useCommands } from "../../src/react/index.ts";
import type { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, watcher, withPage } from "./page.tsx";

withPage();

/** A page that commands the agent `desk-7`, which listens. */
async function desk(prepare: (hub: FakeHub) => void = (hub) => hub.listen("commands:desk-7")) {
  const { Watch, now } = watcher(() => useCommands({ key: "desk-7" }));
  const { Watch: WatchClient, now: client } = watcher(() => useClient());
  const shown = await page([<Watch key="commands" />, <WatchClient key="client" />]);
  prepare(shown.hub);
  await elapse(200);
  const send = async (event: string, data: object = {}, options: SendOptions = {}) => {
    let attempt: Attempt | undefined;
    await act(async () => {
      attempt = now().send(event, { ...data }, options);
    });
    return attempt as Attempt;
  };
  const publishes = () => shown.hub.heard.filter(({ method }) => method === "publish");
  return { ...shown, now, client, send, publishes, newest: () => now().attempts[0] as Attempt };
}

describe("a command", () => {
  test("is followed from the hub over the agent to its end", async () => {
    const { hub, now, newest, send } = await desk();
    const { ended } = await send("agent.pause", { reason: "lunch" });
    await elapse(0);
    expect(newest()).toMatchObject({ state: "sent", id: "c1", event: "agent.pause" });
    hub.step("c1", "accepted", { worker: "paper@desk:1" });
    await elapse(0);
    expect(newest()).toMatchObject({ state: "accepted", worker: "paper@desk:1" });
    hub.step("c1", "done", { result: { state: "PAUSED" } });
    await elapse(200);
    expect(await ended).toMatchObject({ state: "done", result: { state: "PAUSED" } });
    expect(now().data).toMatchObject([
      { id: "c1", state: "done", sender: "test", data: { reason: "lunch" }, attempt: 1 },
    ]);
  });

  test("fails with the agent's reason, or expires", async () => {
    const { hub, send } = await desk();
    const failing = await send("agent.start");
    const expiring = await send("agent.stop");
    await elapse(0);
    hub.step("c1", "failed", { reason: "the market is closed" });
    hub.step("c2", "expired", { worker: null, attempt: 0 });
    expect(await failing.ended).toMatchObject({ state: "failed", reason: "the market is closed" });
    expect(await expiring.ended).toMatchObject({ state: "expired", reason: null });
  });

  test("without the right to it is refused, with the hub's words", async () => {
    const { hub, send } = await desk();
    hub.mayCommand = () => false;
    const { ended } = await send("agent.pause");
    expect(await ended).toMatchObject({ state: "refused", code: FORBIDDEN, id: null });
    expect((await ended).reason).toContain("does not allow commanding commands:desk-7");
  });

  test("that is no JSON is refused before it is sent", async () => {
    const { send, publishes } = await desk();
    const { ended } = await send("config.set", { share: Number.NaN });
    expect(await ended).toMatchObject({ state: "refused", code: null });
    expect(publishes()).toEqual([]);
  });

  test("whose steps come before its answer is as far as they are", async () => {
    const { hub, send, newest, client } = await desk();
    await send("agent.start");
    const channel = client().channel("commands:desk-7");
    const stop = channel.onChange((change) => {
      if (change.type === "update" && change.event === "agent.pause") hub.step("c2", "accepted");
    });
    await send("agent.pause");
    stop();
    expect(newest()).toMatchObject({ id: "c2", state: "accepted" });
  });
});

describe("a lost connection", () => {
  test("hears every step afterwards", async () => {
    const { hub, send, newest } = await desk();
    await send("agent.pause");
    await elapse(0);
    hub.isUp = false;
    hub.drop();
    hub.step("c1", "accepted");
    hub.step("c1", "done");
    await elapse(500);
    expect(newest().state).toBe("sent");
    hub.isUp = true;
    await elapse(3000);
    expect(newest().state).toBe("done");
  });

  test("while it is sent is bridged, and it is one command", async () => {
    const { hub, send, newest, publishes } = await desk();
    hub.isSilent = true;
    await send("position.close", { id: "p-1" });
    hub.drop();
    hub.isSilent = false;
    await elapse(2500);
    expect(newest()).toMatchObject({ state: "sent", id: "c1" });
    const sent = publishes().map(({ params }) => params as Publish);
    expect(sent.length).toBeGreaterThan(1);
    expect(new Set(sent.map(({ producer, n }) => `${producer} ${n}`)).size).toBe(1);
  });

  test("that lasts leaves it unknown whether the hub had it", async () => {
    const { hub, send } = await desk();
    hub.isSilent = true;
    const { ended } = await send("agent.pause");
    hub.isUp = false;
    hub.drop();
    await elapse(10_000);
    expect(await ended).toMatchObject({ state: "unknown", id: null });
    hub.isSilent = false;
    hub.isUp = true;
    const before = hub.heard.length;
    await elapse(20_000);
    expect(hub.heard.slice(before).filter(({ method }) => method === "publish")).toEqual([]);
  });

  test("from before it was sent shows that nothing was", async () => {
    const { hub, send } = await desk();
    hub.isUp = false;
    hub.drop();
    await elapse(10);
    const { ended } = await send("agent.pause", {}, { waitMs: 5000 });
    await elapse(5000);
    expect(await ended).toMatchObject({
      state: "unsent",
      reason: "the connection to the hub was lost",
    });
  });

  test("on a machine that slept sends nothing old when it wakes", async () => {
    const { hub, send, publishes } = await desk();
    hub.isUp = false;
    hub.drop();
    await elapse(10);
    const { ended } = await send("agent.start");
    // Timers stood still meanwhile.
    vi.setSystemTime(Date.now() + 3_600_000);
    hub.isUp = true;
    await elapse(3000);
    expect(publishes()).toEqual([]);
    expect(await ended).toMatchObject({ state: "unsent" });
  });

  test("for good leaves it unknown", async () => {
    const { hub, send } = await desk();
    hub.isSilent = true;
    const { ended } = await send("agent.pause");
    hub.drop(4403, "the origin is not allowed");
    await elapse(10);
    expect(await ended).toMatchObject({ state: "unknown", reason: "the origin is not allowed" });
  });

  test("after which the log has a gap leaves the end unknown", async () => {
    const { hub, send } = await desk();
    const { ended } = await send("agent.pause");
    await elapse(0);
    hub.isUp = false;
    hub.drop();
    hub.restart("commands:desk-7", "log");
    hub.isUp = true;
    await elapse(3000);
    expect((await ended).state).toBe("unknown");
    expect((await ended).reason).toContain("gap");
  });
});

test("who stops waiting may have sent it", async () => {
  const { hub, send } = await desk();
  hub.isSilent = true;
  const abort = new AbortController();
  const { ended } = await send("agent.pause", {}, { signal: abort.signal });
  abort.abort();
  expect(await ended).toMatchObject({ state: "unknown", reason: "the hub did not answer" });
  const { ended: never } = await send("agent.pause", {}, { signal: AbortSignal.abort() });
  expect((await never).state).toBe("unknown");
});

test("an agent listens where its channel is live, and the connection too", async () => {
  const { hub, now } = await desk(() => {});
  expect(now()).toMatchObject({ isListening: false, data: [] });
  hub.listen("commands:desk-7");
  await elapse(200);
  expect(now().isListening).toBe(true);
  hub.mark("commands:desk-7", "stale");
  await elapse(200);
  expect(now().isListening).toBe(false);
  hub.listen("commands:desk-7");
  await elapse(200);
  expect(now().isListening).toBe(true);
  hub.drop();
  await elapse(10);
  expect(now().isListening).toBe(false);
});

test("the commands of others are there too, each as it is now", async () => {
  const { hub, now } = await desk();
  const sent = { sender: "bob", expires_at: 1_700_000_030_000_000, data: {} };
  hub.append("commands:desk-7", { id: "a", ...sent }, "agent.start");
  hub.append("commands:desk-7", { id: "b", ...sent }, "agent.pause");
  const step = { id: "a", event: "agent.start", sender: "bob", attempt: 2, worker: "w" };
  hub.append("commands:desk-7", step, "command.accepted");
  hub.append("commands:desk-7", null, "poison");
  const old = { id: "0", event: "agent.stop", sender: "eve", attempt: 1, worker: "w" };
  hub.append("commands:desk-7", { ...old, reason: "no" }, "command.failed");
  await elapse(200);
  expect(now().data).toMatchObject([
    { id: "0", sender: "eve", state: "failed", reason: "no", sentAt: null },
    { id: "b", sender: "bob", state: "sent", expiresAt: 1_700_000_030_000 },
    { id: "a", sender: "bob", state: "accepted", attempt: 2, worker: "w" },
  ]);
  expect(now().attempts).toEqual([]);
});

test("attempts that are over are forgotten in the end, the newest last", async () => {
  const { hub, send, now } = await desk();
  hub.mayCommand = () => false;
  for (let n = 0; n < 25; n += 1) await send("agent.pause");
  expect(now().attempts.map(({ n }) => n)).toEqual(Array.from({ length: 20 }, (_, i) => 25 - i));
});
