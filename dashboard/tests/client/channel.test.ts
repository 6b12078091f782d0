import { expect, test } from "vitest";
import type { Change } from "../../src/client/index.ts";
import { connected, pass, rig, withFakeTime } from "../setup.ts";

withFakeTime();

interface Portfolio {
  readonly balance: string;
}

/** The changes that a loop gets, until it ends or the error that it throws. */
function collect(changes: AsyncIterable<Change>): Change[] & { error?: unknown; ended?: true } {
  const got: Change[] & { error?: unknown; ended?: true } = [];
  void (async () => {
    try {
      for await (const change of changes) got.push(change);
      got.ended = true;
    } catch (error) {
      got.error = error;
    }
  })();
  return got;
}

function subscribes(heard: readonly { method: string }[]): unknown[] {
  return heard.filter(({ method }) => method === "subscribe");
}

// What is shown

test("a value is shown from its snapshot on, as it changes", async () => {
  const { hub, client } = await connected();
  hub.set("portfolio", { balance: "1.00" });
  const portfolio = client.channel<Portfolio>("portfolio");
  expect(portfolio.getSnapshot()).toMatchObject({ state: "idle", value: undefined });
  const seen: (string | undefined)[] = [];
  portfolio.subscribe(() => seen.push(portfolio.getSnapshot().value?.balance));
  await pass(100);
  hub.set("portfolio", { balance: "2.00" });
  await pass(100);
  expect(seen.at(-1)).toBe("2.00");
  expect(portfolio.getSnapshot()).toMatchObject({
    state: "live",
    kind: "value",
    skipped: 0,
    resets: 0,
  });
});

test("rows are upserted and deleted, and keep their identity where they did not change", async () => {
  const { hub, client } = await connected();
  hub.patch("positions", { upsert: { a: { size: "1" }, b: { size: "2" } } });
  const positions = client.channel("positions");
  positions.subscribe(() => {});
  await pass(100);
  const before = positions.getSnapshot().rows;
  hub.patch("positions", { upsert: { b: { size: "3" } }, delete: ["x"] });
  await pass(100);
  const { rows } = positions.getSnapshot();
  expect([...rows]).toEqual([
    ["a", { size: "1" }],
    ["b", { size: "3" }],
  ]);
  expect(rows.get("a")).toBe(before.get("a"));
});

test("entries are shown oldest first", async () => {
  const { hub, client } = await connected();
  for (let n = 0; n < 60; n += 1) hub.append("decisions", n);
  const decisions = client.channel<number>("decisions");
  decisions.subscribe(() => {});
  await pass(100);
  hub.append("decisions", 60, "decision_made");
  await pass(100);
  const { entries } = decisions.getSnapshot();
  expect(entries.map(({ data }) => data)).toEqual(Array.from({ length: 51 }, (_, n) => n + 10));
  expect(entries.at(-1)?.event).toBe("decision_made");
});

test("the snapshot is the same object until listeners are told", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel("portfolio");
  let told = 0;
  portfolio.subscribe(() => {
    told += 1;
  });
  hub.set("portfolio", 1);
  await pass(200);
  const shown = portfolio.getSnapshot();
  const before = told;
  hub.set("portfolio", 2);
  hub.set("portfolio", 3);
  expect(portfolio.getSnapshot() === shown).toBe(told === before);
  await pass(200);
  expect(portfolio.getSnapshot()).not.toBe(shown);
  expect(portfolio.getSnapshot().value).toBe(3);
});

test("listeners are told ten times a second at most, and see the newest", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel<number>("portfolio");
  const seen: (number | undefined)[] = [];
  hub.set("portfolio", 0);
  portfolio.subscribe(() => seen.push(portfolio.getSnapshot().value));
  await pass(100);
  seen.length = 0;
  for (let n = 1; n <= 1000; n += 1) {
    hub.set("portfolio", n);
    await pass(1);
  }
  await pass(100);
  expect(seen.length).toBeLessThanOrEqual(11);
  expect(seen.length).toBeGreaterThanOrEqual(10);
  expect(seen.at(-1)).toBe(1000);
});

test("all channels are told in the same turn", async () => {
  const { hub, client } = await connected();
  const turns: number[] = [];
  for (const name of ["a", "b"])
    client.channel(name).subscribe(() => turns.push(performance.now()));
  await pass(500);
  turns.length = 0;
  hub.set("a", 1);
  await pass(10);
  hub.set("b", 1);
  hub.set("a", 2);
  await pass(200);
  expect(new Set(turns.slice(-2)).size).toBe(1);
});

// How fresh it is

test("a silent producer's numbers are stale, since when, and live again with its next sign", async () => {
  const { hub, client } = await connected();
  hub.set("portfolio", 1);
  const portfolio = client.channel("portfolio");
  portfolio.subscribe(() => {});
  await pass(100);
  hub.mark("portfolio", "stale");
  const since = Date.now();
  await pass(100);
  expect(portfolio.getSnapshot()).toMatchObject({ state: "stale", staleSince: since, value: 1 });
  hub.mark("portfolio", "live");
  await pass(100);
  expect(portfolio.getSnapshot()).toMatchObject({ state: "live", staleSince: null });
});

test("a channel that was stale already is shown so", async () => {
  const { hub, client } = await connected();
  hub.set("portfolio", 1);
  hub.mark("portfolio", "stale");
  client.channel("portfolio").subscribe(() => {});
  await pass(100);
  expect(client.channel("portfolio").getSnapshot().state).toBe("stale");
});

test("without a connection everything is stale, and live when what was missed is there", async () => {
  const { hub, client } = await connected();
  hub.set("portfolio", 1);
  const portfolio = client.channel("portfolio");
  portfolio.subscribe(() => {});
  await pass(100);
  hub.isUp = false;
  hub.drop();
  const lost = Date.now();
  await pass(100);
  expect(portfolio.getSnapshot()).toMatchObject({ state: "stale", staleSince: lost, value: 1 });
  hub.set("portfolio", 2);
  hub.set("portfolio", 3);
  hub.isUp = true;
  await pass(5000);
  expect(portfolio.getSnapshot()).toMatchObject({ state: "live", value: 3, skipped: 1, resets: 0 });
});

test("while a heartbeat is missing everything is stale", async () => {
  const { hub, client } = await connected();
  hub.set("portfolio", 1);
  const portfolio = client.channel("portfolio");
  portfolio.subscribe(() => {});
  await pass(100);
  hub.isSilent = true;
  await pass(7600);
  expect([client.status.state, portfolio.getSnapshot().state]).toEqual(["stale", "stale"]);
  hub.isSilent = false;
  await pass(2500);
  expect(portfolio.getSnapshot().state).toBe("live");
});

test("before its first snapshot a channel is waiting, and without listeners idle", async () => {
  const { client } = rig();
  const portfolio = client.channel("portfolio");
  const stop = portfolio.subscribe(() => {});
  await pass(0);
  expect(portfolio.getSnapshot().state).toBe("waiting");
  stop();
  await pass(2000);
  expect(portfolio.getSnapshot().state).toBe("idle");
});

test("a channel that the hub refuses says why, and is tried again with a newer token", async () => {
  let token = "viewer";
  const { hub, client } = rig({ getToken: () => token });
  hub.mayRead = () => hub.connections[0]?.token === "trader";
  hub.takesToken = (shown) => shown === token;
  client.connect();
  const portfolio = client.channel("portfolio");
  portfolio.subscribe(() => {});
  const got = collect(portfolio);
  await pass(100);
  const { state, error } = portfolio.getSnapshot();
  expect([state, error?.code]).toEqual(["refused", 4403]);
  expect(got.error).toBe(error);
  await expect(portfolio.ready()).rejects.toBe(error);
  token = "trader";
  hub.drop(4401, "at its end");
  await pass(200);
  expect(portfolio.getSnapshot().state).toBe("live");
  expect(subscribes(hub.heard)).toHaveLength(2);
});

// Continuity

test("a resume is exact: no entry is missing and none comes twice", async () => {
  const { hub, client } = await connected({ random: () => 0 });
  const decisions = client.channel("decisions");
  const got = collect(decisions);
  await pass(0);
  for (let n = 1; n <= 100; n += 1) {
    hub.append("decisions", n);
    if (n % 10 === 0) hub.drop();
    await pass(1);
  }
  const entries = got.flatMap((change) => (change.type === "update" ? [change.data] : []));
  expect(entries).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
  expect(got.filter(({ type }) => type === "recovered")).toHaveLength(10);
  expect(got.filter(({ type }) => type === "reset")).toHaveLength(0);
});

test("a lost frame is a hole, which is mended from the position", async () => {
  const { hub, client } = await connected();
  const decisions = client.channel<number>("decisions");
  decisions.subscribe(() => {});
  await pass(0);
  hub.append("decisions", 1);
  hub.loseNext();
  hub.append("decisions", 2);
  hub.append("decisions", 3);
  await pass(200);
  expect(decisions.getSnapshot().entries.map(({ data }) => data)).toEqual([1, 2, 3]);
  expect(subscribes(hub.heard).at(-1)).toMatchObject({ params: { since: { seq: 1 } } });
});

test("a lost last frame is found by heartbeats", async () => {
  const { hub, client } = await connected();
  const decisions = client.channel<number>("decisions");
  decisions.subscribe(() => {});
  await pass(0);
  hub.append("decisions", 1);
  hub.loseNext();
  hub.append("decisions", 2);
  await pass(5000);
  expect(decisions.getSnapshot().entries).toHaveLength(1);
  await pass(5100);
  expect(decisions.getSnapshot().entries).toHaveLength(2);
});

test("what can't be had is announced before its snapshot", async () => {
  const { hub, client } = await connected();
  hub.append("decisions", 1);
  const got = collect(client.channel("decisions"));
  await pass(0);
  hub.drop();
  hub.append("decisions", 2);
  hub.forget("decisions");
  hub.append("decisions", 3);
  await pass(1000);
  expect(got.map(({ type }) => type)).toEqual(["snapshot", "reset", "snapshot"]);
  expect(got[1]).toMatchObject({ cause: "missed", last: { seq: 1 } });
});

test("a channel that begins anew as another kind is shown as that", async () => {
  const { hub, client } = await connected();
  hub.set("status", "running");
  const status = client.channel("status");
  const got = collect(status);
  status.subscribe(() => {});
  await pass(100);
  hub.restart("status", "log");
  await pass(100);
  hub.append("status", "stopped");
  await pass(100);
  expect(got.map(({ type }) => type)).toEqual(["snapshot", "reset", "snapshot", "update"]);
  const shown = status.getSnapshot();
  expect(shown).toMatchObject({ state: "live", kind: "log", value: undefined, resets: 1 });
  expect(shown.entries.map(({ data }) => data)).toEqual(["stopped"]);
});

test("data that does not suit the kind is not taken for the channel's", async () => {
  const { hub, client } = await connected();
  hub.patch("positions", { upsert: { a: 1 } });
  const positions = client.channel("positions");
  positions.subscribe(() => {});
  await pass(100);
  const { epoch, seq, tag } = positions.getSnapshot().position ?? { epoch: "", seq: 0, tag: "" };
  const frame = {
    channel: "positions",
    type: "update",
    event: "e",
    epoch,
    seq: seq + 1,
    tag,
    ts: 1,
  };
  hub.connections[0]?.say({ ...frame, data: "text" });
  await pass(0);
  expect(client.status).toMatchObject({ state: "reconnecting", code: 1006 });
  await pass(2000);
  expect(subscribes(hub.heard).at(-1)).toMatchObject({ params: { channel: "positions" } });
  expect(subscribes(hub.heard).at(-1)).not.toMatchObject({ params: { since: {} } });
  expect(positions.getSnapshot()).toMatchObject({ state: "live" });
  expect([...positions.getSnapshot().rows]).toEqual([["a", 1]]);
});

// Who follows

test("one subscription serves all listeners, and is left a moment after the last", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel("portfolio");
  expect(client.channel("portfolio")).toBe(portfolio);
  const stops = [portfolio.subscribe(() => {}), portfolio.subscribe(() => {})];
  await pass(0);
  for (const stop of stops) stop();
  stops[0]?.();
  await pass(500);
  const again = portfolio.subscribe(() => {});
  await pass(2000);
  expect(hub.heard.map(({ method }) => method)).toEqual(["ping", "subscribe"]);
  again();
  await pass(1000);
  expect(hub.heard.at(-1)?.method).toBe("unsubscribe");
});

test("a channel that is followed again goes on from where it was", async () => {
  const { hub, client } = await connected();
  hub.append("decisions", 1);
  const decisions = client.channel("decisions");
  decisions.subscribe(() => {})();
  decisions.subscribe(() => {}, { signal: AbortSignal.abort() });
  await pass(3000);
  hub.append("decisions", 2);
  const stop = new AbortController();
  decisions.subscribe(() => {}, { signal: stop.signal });
  await pass(100);
  expect(subscribes(hub.heard).at(-1)).toMatchObject({ params: { since: { seq: 1 } } });
  expect(decisions.getSnapshot().entries).toHaveLength(2);
  stop.abort();
  await pass(1000);
  expect(hub.heard.at(-1)?.method).toBe("unsubscribe");
});

test("the smallest interval that was asked for counts", async () => {
  const { hub, client } = await connected();
  client.channel("portfolio", { intervalMs: 500 }).subscribe(() => {});
  await pass(0);
  client.channel("portfolio", { intervalMs: 1000 });
  client.channel("portfolio", { intervalMs: 0 });
  await pass(0);
  const asked = subscribes(hub.heard) as { params: { interval_ms?: number } }[];
  expect(asked.map(({ params }) => params.interval_ms)).toEqual([500, undefined]);
});

// ready

test("ready waits for what the hub has, and is not fooled by what was shown before", async () => {
  const { hub, client } = rig();
  hub.set("portfolio", 1);
  const portfolio = client.channel<number>("portfolio");
  const ready = portfolio.ready();
  client.connect();
  await pass(200);
  expect((await ready).value).toBe(1);
  hub.isUp = false;
  hub.drop();
  hub.set("portfolio", 2);
  await pass(100);
  const again = portfolio.ready();
  hub.isUp = true;
  await pass(5000);
  expect((await again).value).toBe(2);
  portfolio.subscribe(() => {});
  await pass(200);
  expect((await portfolio.ready()).value).toBe(2);
});

test("ready waits until what came last is shown", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel<number>("portfolio");
  hub.set("portfolio", 1);
  portfolio.subscribe(() => {});
  await pass(150);
  hub.set("portfolio", 2);
  hub.set("portfolio", 3);
  const ready = portfolio.ready();
  await pass(100);
  expect((await ready).value).toBe(3);
});

test("ready ends with its signal, and with the client", async () => {
  const { client } = rig();
  const portfolio = client.channel("portfolio");
  const abort = new AbortController();
  const waiting = portfolio.ready({ signal: abort.signal });
  abort.abort(new Error("left"));
  await expect(waiting).rejects.toThrow("left");
  await expect(portfolio.ready({ signal: abort.signal })).rejects.toThrow("left");
  const closed = portfolio.ready();
  client.close();
  await expect(closed).rejects.toMatchObject({ code: 1000 });
});

// Loops

test("a loop that begins later gets what there is first", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel("portfolio");
  hub.set("portfolio", 1);
  portfolio.subscribe(() => {});
  await pass(100);
  hub.set("portfolio", 2);
  const got = collect(portfolio);
  await pass(0);
  expect(got).toMatchObject([{ type: "snapshot", data: 2, position: { seq: 2 } }]);
});

test("a loop that is too slow is told what it lost, and goes on from the newest", async () => {
  const { hub, client } = await connected();
  const loop = client.channel("decisions").changes({ limit: 5 });
  const first = loop.next();
  await pass(0);
  await first;
  for (let n = 1; n <= 8; n += 1) hub.append("decisions", n);
  await pass(0);
  const got: Change[] = [];
  for (let n = 0; n < 4; n += 1) got.push((await loop.next()).value);
  expect(got).toMatchObject([
    { type: "reset", cause: "overflow", last: { seq: 6 } },
    { type: "snapshot", position: { seq: 6 } },
    { type: "update", data: 7 },
    { type: "update", data: 8 },
  ]);
  await loop.return?.();
  await pass(1000);
  expect(hub.heard.at(-1)?.method).toBe("unsubscribe");
});

test("a loop ends with its signal, and with the client", async () => {
  const { client } = await connected();
  const abort = new AbortController();
  const mine = collect(client.channel("decisions").changes({ signal: abort.signal }));
  const other = collect(client.channel("decisions"));
  await pass(0);
  abort.abort();
  await pass(0);
  expect([mine.ended, other.ended]).toEqual([true, undefined]);
  client.close();
  await pass(0);
  expect(other.ended).toBe(true);
});

test("raw listeners get each change, at once and in order", async () => {
  const { hub, client } = await connected();
  const got: Change[] = [];
  const stop = client
    .channel("portfolio", { intervalMs: 0 })
    .onChange((change) => got.push(change));
  await pass(0);
  hub.set("portfolio", 1);
  hub.set("portfolio", 2);
  await pass(0);
  hub.set("portfolio", 3);
  expect(got.at(-1)).toMatchObject({ type: "update", data: 3 });
  stop();
  hub.set("portfolio", 4);
  expect(got.at(-1)).toMatchObject({ data: 3 });
});
