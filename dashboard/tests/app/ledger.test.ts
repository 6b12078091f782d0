import { describe, expect, test } from "vitest";
import { accountOf } from "../../src/app/data/accounts.ts";
import { pageMemory } from "../../src/app/data/memory.ts";
import { openLedger } from "../../src/app/session/ledger.ts";
import { connected, pass, withFakeTime } from "../setup.ts";
import { Answers } from "./answers.ts";

withFakeTime();

const PORTFOLIO = { equity: "10000.00", currency: "USD", mode: "paper" };

async function rig(table: Answers["table"] = {}) {
  const { hub, client } = await connected();
  const answers = new Answers(table);
  const ended = new AbortController();
  const ledger = openLedger(accountOf(""), {
    channel: (name) => client.channel<unknown>(name),
    hasPast: (name) => `GET channels/${name}/history` in table,
    api: answers.api(),
    memory: pageMemory(),
    signal: ended.signal,
  });
  return { hub, client, ledger, ended, answers };
}

function past(...entries: object[]) {
  return { entries: entries.map((entry, i) => ({ seq: i + 1, event: "e", ...entry })) };
}

describe("equity", () => {
  test("is what was pushed, and the day is counted from the first that is known", async () => {
    const { hub, ledger } = await rig();
    expect(ledger.equity.standing.portfolio).toBeNull();
    hub.set("portfolio", PORTFOLIO);
    await pass(200);
    hub.set("portfolio", { ...PORTFOLIO, equity: "10000.000000000000000001" });
    await pass(200);
    expect(ledger.equity.standing.day).toMatchObject({
      amount: "0.000000000000000001",
      from: { text: "10000.00" },
    });
  });

  test("has a past where the hub keeps one, which the day is then counted from", async () => {
    const hourAgo = (Date.now() - 3_600_000) * 1000;
    const { hub, ledger } = await rig({
      "GET channels/portfolio/history": past(
        { ts: hourAgo, data: { equity: "9000" } },
        { ts: hourAgo + 1, data: null },
      ),
    });
    hub.set("portfolio", PORTFOLIO);
    await pass(200);
    expect(ledger.equity.standing.day).toMatchObject({ amount: "1000", pct: "11.11" });
    expect(ledger.equity.history.first?.text).toBe("9000");
  });

  test("a portfolio without one leaves the course as it was", async () => {
    const { hub, ledger } = await rig();
    hub.set("portfolio", { mode: "live" });
    await pass(200);
    expect(ledger.equity.standing).toMatchObject({ portfolio: { mode: "live" }, day: null });
  });

  test("a new day is counted from the last amount of the old one", async () => {
    const { hub, ledger } = await rig();
    hub.set("portfolio", PORTFOLIO);
    await pass(24 * 3_600_000);
    hub.set("portfolio", { ...PORTFOLIO, equity: "10100" });
    await pass(2000);
    expect(ledger.equity.standing.day).toMatchObject({ amount: "100", from: { text: "10000.00" } });
  });

  test("nothing is followed any more when the desk is left", async () => {
    const { hub, client, ledger, ended } = await rig();
    ended.abort();
    await pass(5000);
    hub.set("portfolio", PORTFOLIO);
    await pass(200);
    expect(ledger.equity.standing.portfolio).toBeNull();
    expect(client.channel("portfolio").getSnapshot().state).toBe("idle");
  });
});

test("nobody is asked for the past of a channel that has none", async () => {
  const { answers } = await rig();
  expect(answers.asked).toEqual([]);
});

describe("markers", () => {
  const decision = { id: "d1", action: "BUY", asset_pair: "BTCUSD" };
  const trade = { id: "t1", action: "BUY", asset_pair: "BTCUSD" };

  test("come from the past, from what the logs showed first, and from what happens", async () => {
    const { hub, ledger } = await rig({
      "GET channels/agent/history": past({ event: "trade_executed", ts: 5, data: trade }),
    });
    hub.append("decisions", decision, "decision_made");
    await pass(100);
    hub.append("agent", { ...trade, id: "t2" }, "trade_executed");
    await pass(100);
    expect(ledger.markers.all.map(({ id }) => id)).toEqual(["t t1", "d d1", "t t2"]);
  });
});
