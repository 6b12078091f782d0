import { expect, test } from "vitest";
import { Link, type LinkOptions } from "../../src/client/link.ts";

const OPTIONS: LinkOptions = {
  minDelayMs: 1000,
  maxDelayMs: 30_000,
  random: () => 1,
  connectTimeoutMs: 10_000,
  stableMs: 10_000,
  probeMs: 5000,
  maxAttempts: Number.POSITIVE_INFINITY,
};
const ENDLESS = Number.POSITIVE_INFINITY;

function link(options: Partial<LinkOptions> = {}, hasTokenSource = true): Link {
  return new Link({ ...OPTIONS, ...options }, hasTokenSource);
}

/** A link that is live since `now`. */
function live(options: Partial<LinkOptions> = {}, now = 0): Link {
  const made = link(options);
  made.start(now);
  connect(made, now);
  made.takeEffects();
  return made;
}

function connect(made: Link, now: number): void {
  made.gotToken(now);
  made.welcomed(5000);
  made.accepted(now, ENDLESS);
}

/** Let time pass as a shell does: to each deadline in turn. */
function passTo(made: Link, now: number): void {
  while (made.deadline <= now) made.tick(made.deadline);
}

test("an attempt gets a token, opens a socket, and is live when the hub took the token", () => {
  const made = link();
  expect(made.status).toMatchObject({ state: "idle", code: null });
  made.start(0);
  expect(made.takeEffects()).toEqual(["token"]);
  expect(made.status).toMatchObject({ state: "connecting", reason: "connect() was called" });
  made.start(1);
  made.gotToken(1);
  expect(made.takeEffects()).toEqual(["open"]);
  made.welcomed(5000);
  expect(made.status.state).toBe("connecting");
  made.accepted(2, ENDLESS);
  expect(made.status).toMatchObject({
    state: "live",
    since: 2,
    attempt: 1,
    reason: "the hub answered",
  });
});

test("an attempt without an answer is given up after its time", () => {
  const made = link();
  made.start(0);
  made.gotToken(9000);
  made.takeEffects();
  passTo(made, 9999);
  expect(made.status.state).toBe("connecting");
  passTo(made, 10_000);
  expect(made.takeEffects()).toEqual(["drop"]);
  expect(made.status).toMatchObject({ state: "reconnecting", code: 1006, retryAt: 11_000 });
});

test("attempts wait longer and longer, and half a minute at most", () => {
  const made = link();
  made.start(0);
  const delays: (number | null)[] = [];
  for (let n = 0; n < 7; n += 1) {
    made.gotToken(0);
    made.ended(1006, "gone", 0);
    delays.push(made.status.retryAt);
    passTo(made, made.status.retryAt ?? 0);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test.each([
  [9999, 2000],
  [10_000, 1000],
])("after %i ms of being live the delay is %i ms at most", (uptime, delay) => {
  const made = link();
  made.start(0);
  made.gotToken(0);
  made.ended(1006, "gone", 0);
  passTo(made, 1000);
  connect(made, 1000);
  made.ended(1001, "the hub ends", 1000 + uptime);
  expect(made.status).toMatchObject({ state: "reconnecting", code: 1001, reason: "the hub ends" });
  expect(made.status.retryAt).toBe(1000 + uptime + delay);
});

test("attempts end at their limit, and begin anew when they are asked for", () => {
  const made = link({ maxAttempts: 2 });
  made.start(0);
  made.ended(1006, "gone", 0);
  passTo(made, 1000);
  made.takeEffects();
  made.ended(1006, "gone", 1000);
  expect(made.takeEffects()).toEqual(["drop", "fail"]);
  expect(made.status).toMatchObject({ state: "closed", code: 1006, retryAt: null });
  expect(made.status.reason).toContain("gave up after 2 attempts");
  made.hurry(2000);
  expect(made.status).toMatchObject({ state: "connecting", attempt: 1 });
});

test("a stable link has all its attempts again", () => {
  const made = live({ maxAttempts: 1 });
  made.ended(1012, "restart", 10_000);
  expect(made.status.state).toBe("reconnecting");
  made.tick(11_000);
  made.ended(1006, "gone", 11_000);
  expect(made.status.state).toBe("closed");
});

test.each([1000, 1002, 1009, 4400, 4403, 4429])("code %i ends it for good", (code) => {
  const made = live();
  made.ended(code, "why", 1);
  expect(made.takeEffects()).toEqual(["drop", "fail"]);
  expect(made.status).toMatchObject({ state: "closed", code, reason: "why", retryAt: null });
  expect(made.isAtRest).toBe(true);
});

test.each([4401, 4408])("code %i asks for another token at once, and once", (code) => {
  const made = live();
  made.ended(code, "at its end", 1);
  expect(made.takeEffects()).toEqual(["drop", "token"]);
  expect(made.tokenReason).toBe("refused");
  expect(made.status).toMatchObject({ state: "reconnecting", code, reason: "at its end" });
  made.gotToken(2);
  made.ended(code, "refused", 3);
  expect(made.status).toMatchObject({
    state: "unauthorized",
    code,
    reason: "refused",
    retryAt: null,
  });
  made.hurry(4);
  expect(made.takeEffects()).toContain("token");
  expect(made.tokenReason).toBe("refused");
});

test("a hub that takes tokens and ends them at once is not hammered", () => {
  const made = live();
  made.ended(4401, "at its end", 1);
  connect(made, 2);
  made.ended(4401, "at its end", 3);
  expect(made.status.state).toBe("unauthorized");
});

test("a token that came to its end after a while is replaced each time", () => {
  const made = live();
  for (let now = 0; now < 100_000; now += 20_000) {
    made.ended(4401, "at its end", now + 15_000);
    connect(made, now + 15_000);
    expect(made.status.state).toBe("live");
    expect(made.tokenReason).toBe("connect");
  }
});

test("without a source a refusal is final", () => {
  const made = link({}, false);
  made.start(0);
  made.gotToken(0);
  made.ended(4401, "send auth first", 0);
  expect(made.status).toMatchObject({ state: "unauthorized", code: 4401, retryAt: null });
});

test("a source that has no token is not asked again, one that failed is", () => {
  const made = link();
  made.start(0);
  made.gotNoToken(0, false);
  expect(made.status).toMatchObject({ state: "unauthorized", code: 4401, retryAt: null });
  made.hurry(1);
  made.gotNoToken(1, true);
  expect(made.status).toMatchObject({
    state: "unauthorized",
    reason: "getToken failed",
    retryAt: 1001,
  });
  made.takeEffects();
  passTo(made, 1001);
  expect(made.takeEffects()).toEqual(["token"]);
});

test("a link on which nothing comes is stale, then live again or dropped", () => {
  const made = live();
  passTo(made, 7499);
  expect(made.status.state).toBe("live");
  passTo(made, 7500);
  expect(made.status).toMatchObject({ state: "stale", reason: "a heartbeat is missing" });
  made.heard(8000);
  expect(made.status).toMatchObject({ state: "live", reason: "the hub is heard again" });
  passTo(made, 22_999);
  expect(made.status.state).toBe("stale");
  passTo(made, 23_000);
  expect(made.takeEffects()).toEqual(["drop"]);
  expect(made.status).toMatchObject({ state: "reconnecting", code: 1006 });
  expect(made.status.reason).toBe("nothing was heard for 15 s");
});

test("when the page wakes, an open link must show that it lives", () => {
  const made = live();
  made.woke(900);
  expect(made.takeEffects()).toEqual([]);
  made.woke(2000);
  expect(made.takeEffects()).toEqual(["ping"]);
  made.heard(2100);
  passTo(made, 7099);
  expect(made.status.state).toBe("live");
  made.woke(7200);
  passTo(made, 12_200);
  expect(made.status).toMatchObject({ state: "reconnecting", code: 1006 });
});

test("when the page wakes, a waiting link attempts at once", () => {
  const made = live();
  made.ended(1006, "gone", 0);
  made.takeEffects();
  made.woke(10);
  expect(made.takeEffects()).toEqual(["token"]);
  expect(made.status).toMatchObject({ state: "reconnecting", retryAt: null });
  made.woke(11);
  made.hurry(11);
  expect(made.takeEffects()).toEqual([]);
});

test("offline, an open link is in doubt until it is heard or dropped", () => {
  const made = live();
  made.offline(100);
  expect(made.status).toMatchObject({ state: "stale", reason: "the browser is offline" });
  expect(made.takeEffects()).toEqual(["ping"]);
  made.heard(200);
  expect(made.status.state).toBe("live");
  made.offline(300);
  passTo(made, 5300);
  expect(made.status).toMatchObject({ state: "offline", code: 1006, retryAt: 35_300 });
  made.online(6000);
  expect(made.status.state).toBe("reconnecting");
  expect(made.takeEffects()).toContain("token");
});

test("a link that waits when the browser goes offline is offline", () => {
  const made = live();
  made.ended(1012, "restart", 0);
  made.offline(10);
  expect(made.status).toMatchObject({ state: "offline", code: 1012, retryAt: 30_010 });
});

test("a token is renewed before its end, on the open link", () => {
  const made = link();
  made.start(0);
  made.gotToken(0);
  made.accepted(0, 600_000);
  made.takeEffects();
  for (let now = 0; now < 540_000; now += 5000) {
    made.heard(now);
    passTo(made, now);
  }
  expect(made.takeEffects()).toEqual([]);
  made.heard(540_000);
  passTo(made, 540_000);
  expect(made.takeEffects()).toEqual(["renew"]);
  made.accepted(541_000, 600_000);
  expect(made.status).toMatchObject({ state: "live", since: 0 });
});

test("a link that was stopped stays so", () => {
  const made = live();
  made.stop(1);
  expect(made.takeEffects()).toEqual(["drop"]);
  expect(made.status).toMatchObject({ state: "closed", code: 1000, reason: "close() was called" });
  made.ended(1006, "late", 2);
  made.woke(3);
  made.online(4);
  made.gotToken(5);
  made.accepted(6, ENDLESS);
  expect(made.deadline).toBe(ENDLESS);
  expect(made.status.state).toBe("closed");
  expect(made.takeEffects()).toEqual([]);
});
