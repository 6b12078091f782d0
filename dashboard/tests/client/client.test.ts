import { expect, test, vi } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { Client, HubError, type Status, type TokenRequest } from "../../src/client/index.ts";
import { connected, pass, rig, withFakeTime } from "../setup.ts";

withFakeTime();

// Connecting

test("nothing is opened before it is asked for, and one socket however often it is", async () => {
  const { hub, client } = rig();
  await pass(1000);
  expect([client.status.state, hub.attempts.length]).toEqual(["idle", 0]);
  client.connect();
  client.connect();
  await pass(0);
  client.connect();
  client.reconnectNow();
  await pass(0);
  expect([client.status.state, hub.attempts.length]).toEqual(["live", 1]);
});

test("an effect that runs twice, as in React's StrictMode, leaves one connection", async () => {
  const { hub, client } = rig();
  client.connect();
  client.close();
  client.connect();
  await pass(0);
  expect(client.status.state).toBe("live");
  expect(hub.connections).toHaveLength(1);
});

test("each transition has its code and reason, and times of the wall clock", async () => {
  const { hub, client } = rig();
  const seen: Status[] = [];
  client.on("status", (status) => seen.push(status));
  client.connect();
  await pass(0);
  hub.isUp = false;
  hub.drop(1012, "the hub restarts");
  await pass(0);
  expect(seen.map(({ state, code, reason }) => [state, code, reason])).toEqual([
    ["connecting", null, "connect() was called"],
    ["live", null, "the hub answered"],
    ["reconnecting", 1012, "the hub restarts"],
  ]);
  expect(client.status).toBe(seen.at(-1));
  expect(client.status.retryAt).toBe(Date.now() + 1000);
  expect(client.status.since).toBe(Date.now());
});

test("a hub that comes back is found again, and events say so", async () => {
  const { hub, client, states, told } = await connected();
  hub.isUp = false;
  hub.drop();
  await pass(3000);
  hub.isUp = true;
  await pass(4000);
  expect(states).toEqual(["connecting", "live", "reconnecting", "live"]);
  expect(told).toEqual(["connected", "disconnected", "connected"]);
  expect(client.stats.connections).toBe(2);
});

test("reconnectNow does not wait", async () => {
  const { hub, client } = await connected();
  hub.drop();
  await pass(0);
  expect(client.status.state).toBe("reconnecting");
  client.reconnectNow();
  await pass(0);
  expect(client.status.state).toBe("live");
});

test("after the last attempt it says that the connection failed", async () => {
  const { hub, client, told } = rig({ maxAttempts: 2 });
  hub.isUp = false;
  client.connect();
  await pass(60_000);
  expect(hub.attempts).toHaveLength(2);
  expect(told).toEqual(["connection_failed"]);
  expect(client.status).toMatchObject({ state: "closed", code: 1006 });
  hub.isUp = true;
  client.reconnectNow();
  await pass(0);
  expect(client.status.state).toBe("live");
});

test("a hub that opens the socket and says nothing is given up after ten seconds", async () => {
  const { hub, client } = rig();
  hub.isSilent = true;
  client.connect();
  await pass(9999);
  expect(client.status.state).toBe("connecting");
  await pass(1);
  expect(client.status).toMatchObject({ state: "reconnecting", code: 1006 });
  expect(hub.attempts[0]?.closeCode).toBe(1000);
});

test("a socket that falls silent is stale, then closed, and opened anew", async () => {
  const { hub, client, states } = await connected();
  await pass(20_000);
  hub.isSilent = true;
  await pass(14_999);
  expect(client.status.state).toBe("stale");
  await pass(1);
  hub.isSilent = false;
  await pass(1000);
  expect(states).toEqual(["connecting", "live", "stale", "reconnecting", "live"]);
  expect(hub.connections).toHaveLength(1);
});

test("several hubs are tried in turn", async () => {
  const { hub } = rig();
  hub.isUp = false;
  const urls = ["http://a", "http://b"];
  const client = new Client(urls, { WebSocket: hub.WebSocket, random: () => 1 });
  client.connect();
  await pass(4000);
  expect(hub.attempts.map(({ url }) => url)).toEqual(["ws://a/ws", "ws://b/ws", "ws://a/ws"]);
  client.close();
});

test("what no hub says ends the connection, and the next one begins anew", async () => {
  const { hub, client, told } = await connected();
  hub.connections[0]?.sayText("no JSON");
  expect(client.status).toMatchObject({
    state: "reconnecting",
    reason: "expected a frame of the hub",
  });
  await pass(1000);
  expect(client.status.state).toBe("live");
  expect(told).toEqual(["connected", "error", "disconnected", "connected"]);
});

test("a browser that refuses to open the socket is asked again", async () => {
  let refuses = true;
  const { hub } = rig();
  const Refusing = class extends hub.WebSocket {
    constructor(url: string, protocols: string[]) {
      if (refuses) throw new DOMException("insecure", "SecurityError");
      super(url, protocols);
    }
  };
  const { client } = await connected({ WebSocket: Refusing });
  expect(client.status).toMatchObject({ state: "reconnecting", code: 1006 });
  expect(client.status.reason).toContain("insecure");
  refuses = false;
  await pass(1000);
  expect(client.status.state).toBe("live");
});

test("a client that gave up ends its loops, and begins anew when it is asked to", async () => {
  const { hub, client } = await connected();
  const ready = client.channel("a").ready();
  const rejected = expect(ready).rejects.toMatchObject({ code: 4403 });
  hub.drop(4403, "the page's origin");
  await pass(0);
  await rejected;
  client.reconnectNow();
  await pass(0);
  expect(client.status.state).toBe("live");
});

test("a closed client opens nothing, and timers end", async () => {
  const { hub, client, told } = await connected();
  client.close();
  expect(client.status).toMatchObject({
    state: "closed",
    code: 1000,
    reason: "close() was called",
  });
  expect(hub.connections).toHaveLength(0);
  await pass(0);
  expect(vi.getTimerCount()).toBe(0);
  expect(told).toEqual(["connected", "disconnected"]);
});

test("the constructor says what it needs", () => {
  vi.stubGlobal("WebSocket", undefined);
  expect(() => new Client("http://hub")).toThrow("expected the option WebSocket");
  expect(() => new Client([], { WebSocket: NodeWebSocket })).toThrow("expected the URL of a hub");
});

// Tokens

test("a token is asked for when it is needed, and shown by the first frame", async () => {
  const asked: string[] = [];
  const { hub } = await connected({
    getToken: ({ reason }) => {
      asked.push(reason);
      return "t-1";
    },
  });
  expect(hub.heard[0]).toMatchObject({ method: "auth", params: { token: "t-1" } });
  hub.drop();
  await pass(1000);
  expect(hub.heard.filter(({ method }) => method === "auth")).toHaveLength(2);
  expect(asked).toEqual(["connect"]);
});

test("after 4401 another token is asked for at once", async () => {
  const asked: string[] = [];
  let token = "old";
  const { hub, client, states } = rig({
    getToken: async ({ reason }) => {
      asked.push(reason);
      return token;
    },
  });
  hub.takesToken = (shown) => shown === token;
  client.connect();
  await pass(0);
  token = "new";
  hub.drop(4401, "the token is at its end");
  await pass(0);
  expect(states).toEqual(["connecting", "live", "reconnecting", "live"]);
  expect(hub.connections[0]?.token).toBe("new");
  expect(asked).toEqual(["connect", "refused"]);
});

test("a token that is refused again makes it unauthorized, until it is asked to try", async () => {
  let takes = false;
  const { hub, client, told } = rig({ getToken: () => "t" });
  hub.takesToken = () => takes;
  client.connect();
  await pass(60_000);
  expect(client.status).toMatchObject({ state: "unauthorized", code: 4401, retryAt: null });
  expect([hub.attempts.length, told]).toEqual([2, []]);
  takes = true;
  client.reconnectNow();
  await pass(0);
  expect(client.status.state).toBe("live");
});

test("without a token it is unauthorized, and opens no socket", async () => {
  const { hub, client } = await connected({ getToken: () => null });
  expect(client.status).toMatchObject({ state: "unauthorized", reason: "getToken gave no token" });
  expect(hub.attempts).toHaveLength(0);
});

test("a hub that wants a token of a client without one makes it unauthorized", async () => {
  const { hub, client } = rig();
  hub.takesToken = (token) => token !== null;
  client.connect();
  await pass(0);
  expect(client.status).toMatchObject({
    state: "unauthorized",
    code: 4401,
    reason: "send auth first",
  });
});

test("a source that fails is asked again, and its error is told", async () => {
  let works = false;
  const { client, told } = rig({
    getToken: () => {
      if (!works) throw new Error("no network");
      return "t";
    },
  });
  const errors: unknown[] = [];
  client.on("error", ({ cause }) => errors.push(cause));
  client.connect();
  await pass(0);
  expect(client.status).toMatchObject({ state: "unauthorized", reason: "getToken failed" });
  expect(client.status.retryAt).toBe(Date.now() + 1000);
  works = true;
  await pass(1000);
  expect(client.status.state).toBe("live");
  expect(told).toEqual(["error", "connected"]);
  expect(errors).toEqual([new Error("no network")]);
});

test("a source that hangs is told that its token is no longer wanted", async () => {
  const requests: TokenRequest[] = [];
  const { client } = await connected({
    getToken: (request) => {
      requests.push(request);
      return new Promise(() => {});
    },
  });
  await pass(10_000);
  expect(requests[0]?.signal.aborted).toBe(true);
  expect(client.status.state).toBe("reconnecting");
  client.close();
});

test("a token that comes too late is not used", async () => {
  const give: ((token: string) => void)[] = [];
  const { hub, client } = await connected({
    getToken: () => new Promise((resolve) => give.push(resolve)),
  });
  await pass(11_000);
  expect(give).toHaveLength(2);
  give[0]?.("late");
  await pass(0);
  expect(hub.attempts).toHaveLength(0);
  give[1]?.("good");
  await pass(0);
  expect([client.status.state, hub.connections[0]?.token]).toEqual(["live", "good"]);
});

test("a token that ends soon is replaced on the open connection", async () => {
  const asked: string[] = [];
  const expiresAt = Date.now() / 1000 + 600;
  const { hub, states } = await connected(
    {
      getToken: ({ reason }) => {
        asked.push(reason);
        return `t-${asked.length}`;
      },
    },
    { expiresAt },
  );
  await pass(540_000);
  expect(asked.slice(0, 2)).toEqual(["connect", "expiring"]);
  expect(hub.connections[0]?.token).toBe(`t-${asked.length}`);
  expect(states).toEqual(["connecting", "live"]);
});

test("no token is ever logged", async () => {
  const lines: string[] = [];
  const { hub, client } = rig({ getToken: () => "s3cret", debug: (line) => lines.push(line) });
  client.connect();
  await pass(0);
  hub.set("portfolio", { balance: "1" });
  client.channel("portfolio").subscribe(() => {});
  await pass(0);
  hub.takesToken = () => false;
  hub.drop(4401, "refused");
  await pass(10);
  expect(lines.join("\n")).toContain("live -> reconnecting 4401");
  expect(lines.join("\n")).toContain('"method":"auth"');
  expect(lines.join("\n")).not.toContain("s3cret");
});

// Publishing

test("a publish says where it stands", async () => {
  const { client } = await connected();
  const published = await client.publish("commands", "agent.pause", { reason: "lunch" });
  expect(published).toMatchObject({ channel: "commands", seq: 1, unchanged: false });
});

test("a command says when it expires", async () => {
  const { hub, client } = await connected();
  await client.publish("commands:desk-7", "agent.pause", {}, { expiresInMs: 5000 });
  const { params } = hub.heard.find(({ method }) => method === "publish") ?? {};
  expect(params).toMatchObject({ event: "agent.pause", expires_in_ms: 5000 });
});

test("a publish waits for the hub, and is stored once however often the connection breaks", async () => {
  const { hub, client } = rig();
  const first = client.publish("commands", "a", 1);
  client.connect();
  await pass(0);
  expect((await first).seq).toBe(1);
  hub.isSilent = true;
  const second = client.publish("commands", "b", 2);
  await pass(0);
  hub.drop();
  hub.isSilent = false;
  await pass(1000);
  expect((await second).seq).toBe(2);
  const ids = hub.heard.flatMap(({ method, params }) =>
    method === "publish" && "n" in params ? [`${params.producer} ${params.n}`] : [],
  );
  expect(ids).toHaveLength(3);
  expect(new Set(ids).size).toBe(2);
});

test("a publish that is refused rejects with the code", async () => {
  const { hub, client } = await connected();
  hub.mayCommand = () => false;
  const refused = client.publish("commands", "a", 1);
  await expect(refused).rejects.toMatchObject({ name: "HubError", code: 4403 });
});

test("a publish whose signal is aborted rejects with its reason", async () => {
  const { client } = rig();
  const abort = new AbortController();
  const waiting = client.publish("commands", "a", 1, { signal: abort.signal });
  abort.abort(new Error("left"));
  await expect(waiting).rejects.toThrow("left");
  const { signal } = abort;
  await expect(client.publish("commands", "a", 1, { signal })).rejects.toThrow("left");
});

test("what waits when the client is closed is rejected, as is what comes later", async () => {
  const { client } = rig();
  const waiting = client.publish("commands", "a", 1);
  client.close();
  await expect(waiting).rejects.toBeInstanceOf(HubError);
  await expect(client.publish("commands", "a", 1)).rejects.toMatchObject({ code: 1000 });
});

test("what waits when no token is to be had is rejected, as is what comes later", async () => {
  const { client } = rig({ getToken: () => null });
  const waiting = client.publish("commands", "a", 1);
  const rejected = expect(waiting).rejects.toMatchObject({ code: 4401 });
  client.connect();
  await pass(0);
  await rejected;
  await expect(client.publish("commands", "a", 1)).rejects.toMatchObject({ code: 4401 });
});

test.each([
  [Number.NaN, "finite"],
  [{ price: { bid: Number.POSITIVE_INFINITY } }, "bid"],
  [undefined, "JSON"],
])("%j is never published", async (data, said) => {
  const { client } = rig();
  await expect(client.publish("commands", "a", data)).rejects.toThrow(said);
});

test("what is published is what it was when it was given", async () => {
  const { hub, client } = rig();
  const data = { reason: "lunch" };
  const published = client.publish("commands", "a", data);
  data.reason = "dinner";
  client.connect();
  await pass(0);
  await published;
  expect(hub.heard.at(-1)?.params).toMatchObject({ data: { reason: "lunch" } });
});

// Numbers

test("latency, rate and skew are measured", async () => {
  const { hub, client } = await connected();
  client.channel("portfolio").subscribe(() => {});
  await pass(0);
  for (let n = 0; n < 1000; n += 1) {
    hub.set("portfolio", n);
    await pass(10);
  }
  await pass(0);
  const { latencyMs, framesPerSecond, clockSkewMs } = client.stats;
  expect([latencyMs, clockSkewMs]).toEqual([0, 0]);
  expect(framesPerSecond).toBeGreaterThan(80);
  expect(framesPerSecond).toBeLessThan(105);
});

test("what is long on its way does not make the hub's clock late", async () => {
  // It did: on a line that was 20 seconds behind, a number of 20 seconds ago was of just now.
  const { hub, client } = await connected();
  const beat = (agoMs: number) =>
    hub.connections[0]?.say({ type: "heartbeat", ts: (Date.now() - agoMs) * 1000, heads: {} });
  hub.beat();
  for (let n = 0; n < 5; n += 1) beat(20_000);
  expect(client.stats.clockSkewMs).toBeLessThan(100);
});

test("a listener that throws stops no other", async () => {
  const thrown: unknown[] = [];
  vi.stubGlobal("queueMicrotask", (run: () => void) =>
    Promise.resolve().then(() => {
      try {
        run();
      } catch (error) {
        thrown.push(error);
      }
    }),
  );
  const { client } = rig();
  const seen: string[] = [];
  client.on("status", () => {
    throw new Error("mine");
  });
  const stop = client.on("status", ({ state }) => seen.push(state));
  client.connect();
  await pass(0);
  stop();
  client.close();
  await pass(0);
  expect(seen).toEqual(["connecting", "live"]);
  expect(thrown).toEqual([new Error("mine"), new Error("mine"), new Error("mine")]);
});
