import { expect, test } from "vitest";
import type { Change } from "../../src/client/changes.ts";
import type { HubError } from "../../src/client/errors.ts";
import type { Kind, Pushed, Reply } from "../../src/client/protocol.ts";
import {
  type Followed,
  MAX_UNANSWERED,
  MAX_WAITING,
  type Request,
  Session,
} from "../../src/client/session.ts";
import { Tracker } from "../../src/client/tracker.ts";
import { vectors } from "../vectors.ts";

const BACKOFF = { minDelayMs: 1000, maxDelayMs: 30_000, random: () => 1 };

class Followee implements Followed {
  readonly tracker = new Tracker();
  readonly changes: Change[] = [];
  kind: Kind | null = null;
  error: HubError | null = null;
  readonly name: string;
  intervalMs: number;

  constructor(name: string, intervalMs = 0) {
    this.name = name;
    this.intervalMs = intervalMs;
  }

  become(kind: Kind): void {
    this.kind = kind;
  }

  deliver(change: Change): void {
    this.changes.push(change);
  }

  refuse(error: HubError): void {
    this.error = error;
  }
}

function session() {
  const heard: unknown[] = [];
  const made = new Session(
    {
      welcomed: ({ session }) => heard.push(["welcomed", session]),
      accepted: (result) => heard.push(["accepted", result]),
      rejected: (code, message) => heard.push(["rejected", code, message]),
      beaten: ({ ts }) => heard.push(["beaten", ts]),
      answeredPing: (latencyMs) => heard.push(["ping", latencyMs]),
    },
    BACKOFF,
  );
  return { made, heard };
}

/** A session whose token was taken; its next command has the id 2. */
function open() {
  const { made, heard } = session();
  made.open("t", 0);
  made.takeOutgoing();
  made.receive({ id: 1, result: { subject: "desk-1", expires_at: null } }, 0);
  return { made, heard };
}

function request(data: unknown = "x", extra: object = {}) {
  const outcomes: unknown[] = [];
  const made: Request = {
    params: { channel: "commands", event: "agent.pause", data, ...extra },
    succeed: (result) => outcomes.push(result.seq),
    fail: (error) => outcomes.push(error.message),
  };
  return { made, outcomes };
}

const goldenCommands = vectors("commands").accepted.map(({ text }) => text);

test("commands are golden texts", () => {
  const { made } = session();
  const texts: string[] = [];
  const take = () => texts.push(...made.takeOutgoing());
  made.open("t", 0);
  take();
  made.receive({ id: 1, result: { subject: "desk-1", expires_at: 1_700_003_600 } }, 0);
  made.follow(new Followee("portfolio"));
  take();
  made.leave("positions:acct-7");
  const { made: publish } = request({ id: "d-1" }, { producer: "agent-1", n: 7, key: "d-1" });
  made.request({
    ...publish,
    params: { ...publish.params, channel: "decisions", event: "decision_made" },
  });
  take();
  for (const text of texts) {
    const golden = goldenCommands.map((each) => each.replace(/"id":\d+/, '"id":0'));
    expect(golden).toContain(text.replace(/"id":\d+/, '"id":0'));
  }
  expect(texts).toHaveLength(3);
});

test("a subscribe with a position and an interval is a golden text", () => {
  const { made } = open();
  const positions = new Followee("positions:acct-7", 100);
  positions.tracker.position = { epoch: "kT9a", seq: 1841, tag: "9f00aa11" };
  made.follow(positions);
  expect(goldenCommands).toContain(made.takeOutgoing()[0]);
});

test("every golden frame is taken", () => {
  const { made } = open();
  for (const { text } of vectors("frames").frames) {
    made.receive(JSON.parse(text) as Pushed | Reply, 0);
  }
});

test("nothing is sent before the hub took the token", () => {
  const { made, heard } = session();
  made.follow(new Followee("portfolio"));
  made.request(request().made);
  made.ping(0);
  made.renew("u");
  expect(made.takeOutgoing()).toEqual([]);
  made.open("t", 10);
  expect(made.takeOutgoing()).toEqual(['{"id":1,"method":"auth","params":{"token":"t"}}']);
  made.receive({ id: 1, result: { subject: "desk-1", expires_at: 5 } }, 35);
  expect(made.takeOutgoing().map((text) => JSON.parse(text).method)).toEqual([
    "subscribe",
    "publish",
  ]);
  expect(heard).toEqual([
    ["accepted", { subject: "desk-1", expires_at: 5 }],
    ["ping", 25],
  ]);
});

test("without a token a ping shows whether the hub takes the connection", () => {
  const { made, heard } = session();
  made.open(null, 0);
  expect(made.takeOutgoing()).toEqual(['{"id":1,"method":"ping","params":{}}']);
  made.receive({ id: 1, error: { code: 4401, message: "send auth first", retry: false } }, 0);
  expect(heard).toEqual([["rejected", 4401, "send auth first"]]);
  made.closed();
  made.open(null, 0);
  made.receive({ id: 2, result: {} }, 1);
  expect(heard.slice(1)).toEqual([
    ["accepted", null],
    ["ping", 1],
  ]);
});

test("what was not answered is asked again on the next connection, from its position", () => {
  const { made } = open();
  const followee = new Followee("decisions");
  const { made: publish, outcomes } = request("x", { producer: "p", n: 1 });
  made.follow(followee);
  made.request(publish);
  made.takeOutgoing();
  const subscribed = { channel: "decisions", epoch: "e1", seq: 4, tag: "t4" };
  const result = { ...subscribed, kind: "log", stale: false, recovered: false, interval_ms: 0 };
  made.receive({ id: 2, result }, 0);
  made.receive({ type: "snapshot", ...subscribed, ts: 1, data: { entries: [] } }, 0);
  made.closed();
  made.receive({ id: 3, result: { ...subscribed, unchanged: false } }, 0);
  expect(outcomes).toEqual([]);
  made.open("t", 0);
  made.receive({ id: 4, result: { subject: "desk-1", expires_at: null } }, 0);
  const [, subscribe, again] = made.takeOutgoing().map((text) => JSON.parse(text));
  expect(subscribe.params).toEqual({
    channel: "decisions",
    since: { epoch: "e1", seq: 4, tag: "t4" },
  });
  expect(again.params).toEqual(publish.params);
  made.receive({ id: 6, result: { ...subscribed, seq: 5, unchanged: false } }, 0);
  expect(outcomes).toEqual([5]);
});

test("a refusal that is worth repeating is repeated after a while", () => {
  const { made } = open();
  const followee = new Followee("decisions");
  const { made: publish, outcomes } = request();
  made.follow(followee);
  made.request(publish);
  made.takeOutgoing();
  const error = { code: 4503, message: "the broker is away", retry: true };
  made.receive({ id: 2, error }, 100);
  made.receive({ id: 3, error }, 100);
  expect(made.deadline).toBe(1100);
  made.tick(1099);
  expect(made.takeOutgoing()).toEqual([]);
  made.tick(1100);
  expect(made.takeOutgoing()).toHaveLength(2);
  made.receive({ id: 4, error }, 2000);
  expect(made.deadline).toBe(4000);
  expect([followee.error, outcomes]).toEqual([null, []]);
});

test("a refusal for good ends the publish or the subscription", () => {
  const { made } = open();
  const followee = new Followee("decisions");
  const { made: publish, outcomes } = request();
  made.follow(followee);
  made.request(publish);
  made.takeOutgoing();
  const error = { code: 4403, message: "no right", retry: false };
  made.receive({ id: 2, error }, 0);
  made.receive({ id: 3, error }, 0);
  expect(followee.error?.code).toBe(4403);
  expect(outcomes).toEqual(["no right (4403)"]);
  made.closed();
  made.open("t", 0);
  made.receive({ id: 4, result: { subject: "desk-1", expires_at: null } }, 0);
  expect(made.takeOutgoing()).toHaveLength(1);
});

test("publishes go out so many at a time, in order", () => {
  const { made } = open();
  const requests = Array.from({ length: MAX_UNANSWERED + 2 }, (_, n) => request(n));
  for (const each of requests) made.request(each.made);
  expect(made.takeOutgoing()).toHaveLength(MAX_UNANSWERED);
  const position = { channel: "commands", epoch: "e1", seq: 1, tag: "t", unchanged: false };
  made.receive({ id: 5, result: position }, 0);
  const [next, ...others] = made.takeOutgoing();
  expect(JSON.parse(next ?? "").params.data).toBe(MAX_UNANSWERED);
  expect(others).toEqual([]);
  made.forget(requests[0]?.made as Request);
  expect(made.takeOutgoing()).toHaveLength(1);
});

test("more publishes than may wait, or one that no hub takes, are refused at once", () => {
  const { made } = session();
  for (let n = 0; n < MAX_WAITING; n += 1) made.request(request().made);
  const late = request();
  made.request(late.made);
  expect(late.outcomes[0]).toContain("4429");
  const large = request("€".repeat(22_000));
  made.request(large.made);
  expect(large.outcomes[0]).toContain("expected a publish of at most 65536 bytes");
});

test("an end fails what waits, and keeps the subscriptions", () => {
  const { made } = open();
  const { made: publish, outcomes } = request();
  made.follow(new Followee("decisions"));
  made.request(publish);
  made.closed();
  made.end({ message: "over" } as HubError);
  expect(outcomes).toEqual(["over"]);
  made.open("t", 0);
  made.receive({ id: 4, result: { subject: "desk-1", expires_at: null } }, 0);
  expect(made.takeOutgoing()).toHaveLength(2);
});

test("a channel that was left is not heard any more, nor asked for again", () => {
  const { made } = open();
  const followee = new Followee("decisions");
  made.follow(followee);
  made.leave("decisions");
  const texts = made.takeOutgoing().map((text) => JSON.parse(text).method);
  expect(texts).toEqual(["subscribe", "unsubscribe"]);
  const error = { code: 4400, message: "a later command replaced this subscribe", retry: false };
  made.receive({ id: 2, error }, 0);
  expect(followee.error).toBeNull();
});

test("heads in a heartbeat find what was lost", () => {
  const { made, heard } = open();
  const followee = new Followee("decisions");
  made.follow(followee);
  made.takeOutgoing();
  const at = { channel: "decisions", epoch: "e1", seq: 4, tag: "t4" };
  made.receive(
    { id: 2, result: { ...at, kind: "log", stale: false, recovered: false, interval_ms: 0 } },
    0,
  );
  made.receive({ type: "snapshot", ...at, ts: 1, data: { entries: [] } }, 0);
  const beat: Pushed = { type: "heartbeat", ts: 1, heads: { decisions: 5, other: 9 } };
  made.receive(beat, 0);
  expect(made.takeOutgoing()).toEqual([]);
  made.receive(beat, 0);
  expect(made.takeOutgoing().map((text) => JSON.parse(text).params.since.seq)).toEqual([4]);
  expect(heard.at(-1)).toEqual(["beaten", 1]);
});

test("a newer token is shown on the open connection", () => {
  const { made, heard } = open();
  made.renew("u");
  expect(made.takeOutgoing()).toEqual(['{"id":2,"method":"auth","params":{"token":"u"}}']);
  made.receive({ id: 2, result: { subject: "desk-1", expires_at: 9 } }, 0);
  expect(heard.at(-1)).toEqual(["accepted", { subject: "desk-1", expires_at: 9 }]);
});

test("frames and types to come are ignored", () => {
  const { made, heard } = open();
  const before = heard.length;
  made.receive({ type: "later", channel: "x" } as unknown as Pushed, 0);
  made.receive({ id: 77, result: {} }, 0);
  made.receive({ id: null, error: { code: 4400, message: "", retry: false } }, 0);
  expect(heard).toHaveLength(before);
});
