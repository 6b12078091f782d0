import { describe, expect, test, vi } from "vitest";
import { pageMemory } from "../../src/app/data/memory.ts";
import { past } from "../../src/app/data/past.ts";
import { ApiError, matches, readChannels, readCommanding } from "../../src/app/session/api.ts";
import { Door, type Session, takeToken } from "../../src/app/session/door.ts";
import { pass, withFakeTime } from "../setup.ts";
import { Answers } from "./answers.ts";

withFakeTime();

const LEFT = { method: "", path: "what was open left", body: null, authorization: null };
const WHO = { subject: "alice", expires: null, read: ["*"], publish: [] };

function rig(table: Answers["table"], memory = pageMemory()) {
  const answers = new Answers(table);
  const opened: Session[] = [];
  const close = vi.fn();
  const leave = async () => void answers.asked.push(LEFT);
  const door = new Door(
    (session) => {
      opened.push(session);
      return { close, leave };
    },
    memory,
    answers.api,
  );
  return { answers, opened, close, door, memory };
}

describe("going in", () => {
  test("a token is handed over once, and never shown again", async () => {
    const { door, answers, opened } = rig({ "POST session": 204, "GET session": WHO });
    await door.enter("secret");
    expect(door.entrance.at).toBe("in");
    expect(opened).toMatchObject([{ bearer: null }]);
    expect(answers.asked.map(({ body }) => body)).toEqual([{ token: "secret" }]);
    expect(answers.asked.every(({ authorization }) => authorization === null)).toBe(true);
  });

  test("who was in before is in again without a token", async () => {
    const memory = pageMemory();
    const table = { "POST session": 204, "GET session": WHO };
    await rig(table, memory).door.enter("secret");
    const { door } = rig(table, memory);
    await door.enter(null);
    expect(door.entrance.at).toBe("in");
  });

  test("a browser that never was in asks for nothing", async () => {
    const { door, answers } = rig({ "GET session": 401 });
    await door.enter(null);
    expect(door.entrance).toEqual({ at: "out", reason: "" });
    expect(answers.asked).toEqual([]);
  });

  test("a session that has ended shows the form, without a reproach", async () => {
    const memory = pageMemory();
    await rig({ "POST session": 204, "GET session": WHO }, memory).door.enter("secret");
    const { door } = rig({ "GET session": 401 }, memory);
    await door.enter(null);
    expect(door.entrance).toEqual({ at: "out", reason: "" });
  });

  test("a token that is refused says why", async () => {
    const { door } = rig({ "POST session": 401 });
    await door.enter("wrong");
    expect(door.entrance).toEqual({
      at: "out",
      reason: "The hub does not take this token: answer 401.",
    });
  });

  test("an older hub is shown the token with each request, if it takes it", async () => {
    const channels = (asked: { authorization: string | null }) =>
      asked.authorization === "Bearer good" ? { channels: [] } : 401;
    const { door, opened } = rig({ "GET channels": channels });
    await door.enter("good");
    expect(opened[0]).toMatchObject({ bearer: "good" });
    await door.enter("bad");
    expect(door.entrance).toMatchObject({ at: "out" });
  });

  test("a hub that is away is asked again until it answers", async () => {
    let answer: number | "away" = "away";
    const { door } = rig({ "POST session": () => answer, "GET session": WHO });
    await door.enter("secret");
    expect(door.entrance).toMatchObject({ at: "unreachable" });
    answer = 503;
    await pass(2000);
    expect(door.entrance).toMatchObject({ at: "unreachable", reason: "answer 503" });
    answer = 204;
    await pass(2000);
    expect(door.entrance.at).toBe("in");
  });

  test("an answer that comes when somebody else tried is nobody's", async () => {
    const { door } = rig({ "POST session": 401 });
    const first = door.enter("one");
    door.refused("changed my mind");
    await first;
    expect(door.entrance).toEqual({ at: "out", reason: "changed my mind" });
  });
});

describe("going out", () => {
  test("ends what was open, and the session at the hub", async () => {
    const table = { "POST session": 204, "GET session": WHO, "DELETE session": 204 };
    const { door, close, answers, memory } = rig(table);
    await door.enter("secret");
    await door.leave();
    expect(close).toHaveBeenCalledOnce();
    expect(door.entrance).toEqual({ at: "out", reason: "" });
    // What was open may still need the session.
    expect(answers.asked.slice(-2)).toMatchObject([LEFT, { method: "DELETE", path: "session" }]);
    expect(memory.getItem("tapecast.session")).toBeNull();
  });

  test("happens here also where the hub is away", async () => {
    const { door } = rig({ "POST session": 204, "GET session": WHO, "DELETE session": "away" });
    await door.enter("secret");
    await door.leave();
    expect(door.entrance.at).toBe("out");
  });

  test("a refusal of the hub says why", async () => {
    const { door, close } = rig({ "POST session": 204, "GET session": WHO });
    await door.enter("secret");
    door.refused("the token ended");
    expect(close).toHaveBeenCalledOnce();
    expect(door.entrance).toEqual({ at: "out", reason: "the token ended" });
  });
});

describe("the token of the address", () => {
  function at(hash: string) {
    const replaced: string[] = [];
    const location = { hash, pathname: "/", search: "?a=1" } as Location;
    const replaceState = (_state: unknown, _title: string, url: string) => void replaced.push(url);
    return { token: takeToken(location, { replaceState } as History), replaced };
  }

  test("leaves the address at once", () => {
    expect(at("#token=abc")).toEqual({ token: "abc", replaced: ["/?a=1#/"] });
    expect(at("#token=")).toEqual({ token: null, replaced: ["/?a=1#/"] });
  });

  test("other addresses are left alone", () => {
    expect(at("#/hub")).toEqual({ token: null, replaced: [] });
  });
});

describe("what is asked over HTTP", () => {
  test("errors have the hub's words, its status, or say that nothing came", async () => {
    const { api } = new Answers({ "GET a": 403, "GET b": "away" });
    const failed = async (path: string) =>
      api()
        .ask(path)
        .catch((error: unknown) => error);
    expect(await failed("a")).toMatchObject({ status: 403, message: "answer 403" });
    expect(await failed("b")).toMatchObject({ status: 0 });
    expect(await failed("b")).toBeInstanceOf(ApiError);
  });

  test("an aborted request rejects with the signal's reason", async () => {
    const { api } = new Answers({ "GET b": "away" });
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(api().ask("b", { signal })).rejects.toThrow("gone");
  });

  test("a listing that is none has no channels", () => {
    expect(readChannels(null)).toEqual([]);
    expect(readChannels({ channels: [null, { name: 1 }, { name: "a" }] })).toEqual([
      { name: "a", kind: "?", ageMs: null, stale: false },
    ]);
  });
});

describe("the right to command", () => {
  test("is read from the session, where the hub says it", () => {
    expect(readCommanding({ command: ["commands", 3] })).toEqual(["commands"]);
    expect(readCommanding({ read: ["*"] })).toBeNull();
  });

  test("is given by patterns", () => {
    expect(matches("*", "commands")).toBe(true);
    expect(matches("commands", "commands")).toBe(true);
    expect(matches("commands", "commands:desk-7")).toBe(false);
    expect(matches("commands:*", "commands:desk-7")).toBe(true);
    expect(matches("commands:*", "commands")).toBe(false);
    expect(matches("commands:desk-7", "commands:desk-8")).toBe(false);
  });
});

describe("a channel's past", () => {
  /** A hub that has the entries from `oldest` to `head`. */
  function history(oldest: number, head: number) {
    return new Answers({
      "GET channels/log/history": ({ path }) => {
        const query = new URLSearchParams(path.split("?")[1]);
        const since = query.get("since");
        const limit = Number(query.get("limit"));
        const first =
          since === null ? Math.max(oldest, head - limit + 1) : Math.max(oldest, Number(since) + 1);
        const last = Math.min(head, first + limit - 1);
        const entries: object[] = [];
        for (let seq = first; seq <= last; seq += 1) {
          entries.push({ seq, event: "e", ts: seq * 1000, data: seq });
        }
        return { entries };
      },
    });
  }

  async function all(answers: Answers, pages = 10) {
    const read: unknown[] = [];
    for await (const page of past(answers.api(), "log", pages, new AbortController().signal)) {
      read.push([page[0]?.seq, page.at(-1)?.seq]);
    }
    return read;
  }

  test("comes page by page, the newest first, each entry once", async () => {
    expect(await all(history(1, 2500))).toEqual([
      [1501, 2500],
      [501, 1500],
      [1, 500],
    ]);
  });

  test("ends where the hub has forgotten", async () => {
    const answers = history(1400, 2500);
    expect(await all(answers)).toEqual([
      [1501, 2500],
      [1400, 1500],
    ]);
    expect(answers.asked).toHaveLength(2);
  });

  test("ends where enough was read, and at nothing", async () => {
    expect(await all(history(1, 9000), 2)).toHaveLength(2);
    expect(await all(history(1, 0))).toEqual([]);
    expect(await all(new Answers({ "GET channels/log/history": { entries: 3 } }))).toEqual([]);
  });
});
