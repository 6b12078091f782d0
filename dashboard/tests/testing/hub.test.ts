import { expect, test } from "vitest";
import type { SocketConstructor } from "../../src/client/index.ts";
import type { Pushed, Reply } from "../../src/client/protocol.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { pass, withFakeTime } from "../setup.ts";
import { golden, vectors } from "../vectors.ts";

withFakeTime();

/** A client by hand: sends commands, keeps what it hears. */
async function talk(hub: FakeHub) {
  const heard: (Pushed | Reply)[] = [];
  const Socket: SocketConstructor = hub.WebSocket;
  const socket = new Socket("ws://hub", []);
  socket.addEventListener("message", ({ data }) => heard.push(JSON.parse(String(data))));
  await pass(0);
  const ask = async (command: object) => {
    const from = heard.length;
    socket.send(JSON.stringify(command));
    await pass(0);
    return heard.slice(from);
  };
  return { heard, ask, socket };
}

/** A frame's fields, of what it carries too where that is the protocol's own. */
function fields(frame: object | undefined): string[] {
  const { result, error, ...rest } = (frame ?? {}) as Record<string, object>;
  return [...Object.keys(rest), ...Object.keys(result ?? {}), ...Object.keys(error ?? {})].sort();
}

test("its frames have the fields of the golden ones, and no others", async () => {
  const hub = new FakeHub();
  const { heard, ask } = await talk(hub);
  hub.set("portfolio", { balance: "1" });
  const [welcome] = heard;
  const [auth] = await ask({ id: 1, method: "auth", params: { token: "t" } });
  const [subscribed, snapshot] = await ask({
    id: 2,
    method: "subscribe",
    params: { channel: "portfolio" },
  });
  hub.set("portfolio", { balance: "2" });
  const update = heard.at(-1);
  hub.mark("portfolio", "stale");
  const state = heard.at(-1);
  hub.restart("portfolio");
  const reset = heard.at(-2);
  hub.beat();
  const heartbeat = heard.at(-1);
  const [published] = await ask({
    id: 4,
    method: "publish",
    params: { channel: "portfolio", event: "e", data: 1 },
  }).then((frames) => frames.slice(-1));
  hub.mayRead = () => false;
  const [error] = await ask({ id: 5, method: "subscribe", params: { channel: "other" } });
  const envelope = JSON.parse(vectors("envelopes").chains[0]?.entries[0]?.text ?? "{}");
  const pairs = [
    [welcome, golden("welcome")[0]],
    [auth, golden("result")[0]],
    [subscribed, golden("subscribed")[0]],
    [snapshot, golden("snapshot")[0]],
    [update, envelope],
    [state, golden("channel_state")[0]],
    [reset, golden("channel_reset")[0]],
    [heartbeat, golden("heartbeat")[0]],
    [published, golden("published")[0]],
    [error, golden("error")[0]],
  ] as const;
  for (const [mine, expected] of pairs) expect(fields(mine)).toEqual(fields(expected));
});

test("it takes every command that a hub takes", async () => {
  const { ask } = await talk(new FakeHub());
  for (const { text } of vectors("commands").accepted) {
    const command = JSON.parse(text);
    const replies = (await ask(command)).filter(
      (frame) => "id" in frame && frame.id === command.id,
    );
    expect(replies).toHaveLength(1);
    expect(replies[0]).toHaveProperty("result");
  }
});

test("a table that was missed comes as one conflated update, deletes kept", async () => {
  const hub = new FakeHub();
  const { ask } = await talk(hub);
  hub.patch("positions", { upsert: { a: 1, b: 1 } });
  const [, snapshot] = await ask({ id: 1, method: "subscribe", params: { channel: "positions" } });
  const { epoch, seq, tag } = snapshot as { epoch: string; seq: number; tag: string };
  hub.patch("positions", { upsert: { a: 2, c: 1 } });
  hub.patch("positions", { delete: ["b", "c"] });
  const since = { epoch, seq, tag };
  const [reply, ...missed] = await ask({
    id: 2,
    method: "subscribe",
    params: { channel: "positions", since },
  });
  expect(reply).toMatchObject({ result: { recovered: true } });
  expect(missed).toMatchObject([
    {
      prev: 1,
      seq: 3,
      skipped: 1,
      data: { upsert: { a: 2 }, delete: expect.arrayContaining(["b", "c"]) },
    },
  ]);
});

test("a publish with an id is answered as the first time", async () => {
  const hub = new FakeHub();
  const { ask } = await talk(hub);
  const params = { channel: "commands", event: "e", data: 1, producer: "p", n: 1 };
  const [first] = await ask({ id: 1, method: "publish", params });
  const [second] = await ask({ id: 2, method: "publish", params });
  expect((second as Reply).result).toEqual((first as Reply).result);
});

test("it refuses what it is told to refuse", async () => {
  const hub = new FakeHub();
  const { ask } = await talk(hub);
  hub.refusals.push({ method: "publish", code: 4503 });
  const params = { channel: "commands", event: "e", data: 1 };
  expect(await ask({ id: 1, method: "publish", params })).toMatchObject([
    { id: 1, error: { code: 4503, retry: true } },
  ]);
  expect(await ask({ id: 2, method: "publish", params })).toMatchObject([
    { id: 2, result: { seq: 1 } },
  ]);
});

test("a channel of a known stream has its kind before anything is published", async () => {
  const { ask } = await talk(new FakeHub());
  const channels = ["portfolio:acct-7", "positions", "decisions", "my-own"];
  const kinds: unknown[] = [];
  for (const channel of channels) {
    const [reply] = await ask({ id: 1, method: "subscribe", params: { channel } });
    kinds.push(((reply as Reply).result as { kind: string }).kind);
  }
  expect(kinds).toEqual(["value", "table", "log", "log"]);
});
