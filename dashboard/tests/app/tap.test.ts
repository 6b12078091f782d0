import { describe, expect, test, vi } from "vitest";
import { Frames, matching } from "../../src/app/dev/frames.ts";
import { Journal } from "../../src/app/dev/journal.ts";
import { Tap } from "../../src/app/dev/tap.ts";
import { Client } from "../../src/client/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { pass, withFakeTime } from "../setup.ts";

withFakeTime();

describe("frames", () => {
  test("are bounded in number and in size, and the newest stay", () => {
    const frames = new Frames();
    for (let i = 0; i < 5000; i += 1) frames.add("in", `frame ${i}`, i);
    expect(frames.total).toBe(5000);
    expect(frames.all).toHaveLength(1000);
    expect(frames.all.at(-1)?.text).toBe("frame 4999");
    for (let i = 0; i < 10; i += 1) frames.add("in", "x".repeat(900_000), i);
    expect(frames.all.length).toBeLessThanOrEqual(2);
  });

  test("never keep a token", () => {
    const frames = new Frames();
    const frame = '{"id":1,"method":"auth","params":{"token":"secret"}}';
    expect(frames.add("out", frame, 0).text).toBe(
      '{"id":1,"method":"auth","params":{"token":"..."}}',
    );
  });

  test("are found by words, in any order, newest first", () => {
    const frames = new Frames();
    frames.add("out", '{"method":"subscribe","channel":"a"}', 1);
    frames.add("in", '{"channel":"a"}', 2);
    frames.add("out", '{"method":"subscribe","channel":"b"}', 3);
    expect(matching(frames.all, " Subscribe OUT", 10).map(({ n }) => n)).toEqual([3, 1]);
    expect(matching(frames.all, "", 2).map(({ n }) => n)).toEqual([3, 2]);
  });
});

describe("the journal", () => {
  const texts = (journal: Journal) =>
    journal.notes.map(({ what, channel, text }) => `${what} ${channel}: ${text}`);

  function ask(journal: Journal, id: number, since: object | null) {
    journal.hear(
      "out",
      JSON.stringify({ id, method: "subscribe", params: { channel: "a", since } }),
      0,
    );
  }

  function answer(journal: Journal, id: number, result: object) {
    journal.hear("in", JSON.stringify({ id, ...result }), 0);
  }

  test("says what was resumed, and how much was missed", () => {
    const journal = new Journal();
    ask(journal, 1, { epoch: "e", seq: 5, tag: "t" });
    answer(journal, 1, { result: { seq: 8, recovered: true } });
    ask(journal, 2, { epoch: "e", seq: 8, tag: "t" });
    answer(journal, 2, { result: { seq: 8, recovered: true } });
    expect(texts(journal)).toEqual([
      "resumed a: from 8: nothing was missed",
      "asked a: what came after 8?",
      "resumed a: from 5: 3 missed, all of them follow",
      "asked a: what came after 5?",
    ]);
  });

  test("says what could not be resumed, and what was refused", () => {
    const journal = new Journal();
    ask(journal, 1, { epoch: "e", seq: 5, tag: "t" });
    answer(journal, 1, { result: { seq: 2, recovered: false } });
    ask(journal, 2, null);
    answer(journal, 2, { error: { code: 4403, message: "no" } });
    ask(journal, 3, null);
    answer(journal, 3, { result: { seq: 9, recovered: false } });
    expect(texts(journal)).toEqual([
      "snapshot a: begins at 9",
      "reset a: refused: 4403 no",
      "reset a: could not go on from 5: a snapshot at 2",
      "asked a: what came after 5?",
    ]);
  });

  test("says what channels and the hub announce", () => {
    const journal = new Journal();
    for (const state of ["stale", "live", "reset"]) {
      journal.hear("in", JSON.stringify({ type: "channel", channel: "a", state }), 0);
    }
    journal.hear("in", '{"type":"notice","code":"shutdown","in_ms":5000}', 0);
    expect(journal.notes.map(({ what }) => what)).toEqual(["notice", "reset", "live", "stale"]);
  });

  test("does not look at what channels carry, nor stumble over what is no frame", () => {
    const journal = new Journal();
    expect(journal.hear("in", '{"channel":"a","type":"update"}', 0)).toBe(false);
    expect(journal.hear("in", '{"type":', 0)).toBe(false);
    expect(journal.hear("in", '{"id":99,"result":{}}', 0)).toBe(false);
    expect(journal.hear("out", '{"id":1,"method":"ping"}', 0)).toBe(false);
  });

  test("is bounded", () => {
    const journal = new Journal();
    const frame = JSON.stringify({ type: "channel", channel: "a", state: "stale" });
    for (let i = 0; i < 500; i += 1) journal.hear("in", frame, i);
    expect(journal.notes).toHaveLength(200);
  });
});

describe("a tapped connection", () => {
  async function rig() {
    const hub = new FakeHub();
    const tap = new Tap(hub.WebSocket);
    const client = new Client("ws://hub", { WebSocket: tap.WebSocket, random: () => 1 });
    client.connect();
    client.channel("a").subscribe(() => {});
    hub.append("a", { n: 1 });
    await pass(200);
    return { hub, tap, client };
  }

  test("works as any other, and what crosses is kept", async () => {
    const { tap, client } = await rig();
    expect(client.status.state).toBe("live");
    expect(client.channel("a").getSnapshot().entries).toHaveLength(1);
    expect(tap.frames.all.map(({ direction }) => direction)).toContain("out");
    expect(tap.heardAt).toBe(Date.now() - 200);
  });

  test("that is dropped reconnects and resumes, and nothing is missing", async () => {
    const { hub, tap, client } = await rig();
    tap.drop();
    expect(client.status).toMatchObject({ state: "reconnecting", code: 1006 });
    hub.append("a", { n: 2 });
    await pass(1500);
    expect(client.status.state).toBe("live");
    expect(
      client
        .channel("a")
        .getSnapshot()
        .entries.map(({ seq }) => seq),
    ).toEqual([1, 2]);
    expect(tap.journal.notes.map(({ what }) => what)).toContain("resumed");
  });

  test("that stalls is noticed, and goes on in order when it is let through", async () => {
    const { hub, tap, client } = await rig();
    tap.isStalled = true;
    hub.append("a", { n: 2 });
    await pass(8000);
    expect(client.status.state).toBe("stale");
    hub.append("a", { n: 3 });
    tap.isStalled = false;
    await pass(200);
    expect(client.status.state).toBe("live");
    expect(
      client
        .channel("a")
        .getSnapshot()
        .entries.map(({ seq }) => seq),
    ).toEqual([1, 2, 3]);
  });

  test("that stalls for long is given up", async () => {
    const { tap, client } = await rig();
    tap.isStalled = true;
    await pass(20_000);
    expect(client.status.state).toBe("reconnecting");
    tap.isStalled = false;
    await pass(30_000);
    expect(client.status.state).toBe("live");
  });

  test("tells who looks, a few times a second at most", async () => {
    const { hub, tap } = await rig();
    const told = vi.fn();
    const stop = tap.subscribe(told);
    for (let i = 0; i < 100; i += 1) {
      hub.append("a", { n: i });
      await pass(10);
    }
    await pass(300);
    expect(told.mock.calls.length).toBeGreaterThan(2);
    expect(told.mock.calls.length).toBeLessThan(6);
    expect(tap.getVersion()).toBe(told.mock.calls.length);
    stop();
  });
});
