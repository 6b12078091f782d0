// @vitest-environment happy-dom
import { useState } from "react";
import { expect, test } from "vitest";
import {
  useChanges,
  useDecisionUpdates,
  usePortfolioUpdates,
  usePositionUpdates,
} from "../../src/react/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, pageOf, watcher, withPage } from "./page.tsx";

withPage();

test("each portfolio is told as it comes, and nothing is rendered for it", async () => {
  const told: string[] = [];
  const { Watch, seen } = watcher(() => usePortfolioUpdates(({ balance }) => told.push(balance)));
  const { hub } = await page(<Watch />);
  const before = seen.length;
  for (let n = 0; n < 100; n += 1) hub.set("portfolio", { balance: String(n) });
  await elapse(1);
  expect(told).toEqual(Array.from({ length: 100 }, (_, n) => String(n)));
  expect(seen).toHaveLength(before);
});

test("a listener is the newest that was given", async () => {
  const told: string[] = [];
  let turn = (_name: string) => {};
  const { Watch } = watcher(() => {
    const [name, setName] = useState("first");
    turn = setName;
    usePortfolioUpdates(({ balance }) => told.push(`${name} ${balance}`));
  });
  const hub = new FakeHub();
  hub.set("portfolio", { balance: "1" });
  pageOf(hub, <Watch />);
  await elapse(1);
  turn("second");
  await elapse(1);
  hub.set("portfolio", { balance: "2" });
  await elapse(1);
  expect(told).toEqual(["first 1", "second 2"]);
  expect(hub.heard.filter(({ method }) => method === "subscribe")).toHaveLength(1);
});

test("positions are opened, updated and closed, of the account that is asked for", async () => {
  const told: string[] = [];
  const { Watch } = watcher(() =>
    usePositionUpdates((action, { id, size }) => told.push(`${action} ${id} ${size}`), {
      key: "acct-7",
    }),
  );
  const { hub, show } = await page(null);
  hub.patch("positions:acct-7", { upsert: { a: { id: "a", size: "1" } } });
  hub.patch("positions", { upsert: { z: { id: "z", size: "1" } } });
  show(<Watch />);
  await elapse(1);
  expect(told).toEqual([]);
  hub.patch("positions:acct-7", { upsert: { b: { id: "b", size: "2" } } });
  hub.patch("positions:acct-7", { upsert: { a: { id: "a", size: "3" } }, delete: ["b"] });
  await elapse(1);
  expect(told).toEqual(["opened b 2", "closed b 2", "updated a 3"]);
});

test("decisions are told once over a lost connection, with what happened to them", async () => {
  const told: string[] = [];
  const { Watch } = watcher(() =>
    useDecisionUpdates(({ id }, { event }) => told.push(`${event} ${id}`)),
  );
  const { hub, show } = await page(null);
  hub.append("decisions", { id: "d0" }, "decision_made");
  show(<Watch />);
  await elapse(1);
  hub.append("decisions", { id: "d1" }, "decision_made");
  await elapse(1);
  hub.drop();
  hub.append("decisions", { id: "d1" }, "decision_updated");
  hub.append("decisions", { id: "d2" }, "decision_made");
  await elapse(3000);
  expect(told).toEqual(["decision_made d1", "decision_updated d1", "decision_made d2"]);
});

test("changes of any channel are told as they are, and none while disabled", async () => {
  const told: string[] = [];
  const off: string[] = [];
  const { Watch } = watcher(() => {
    useChanges("agent", ({ type }) => told.push(type));
    useChanges("agent", ({ type }) => off.push(type), { enabled: false });
  });
  const { hub } = await page(<Watch />);
  hub.append("agent", {}, "state_transition");
  await elapse(1);
  hub.mark("agent", "stale");
  await elapse(1);
  expect(told).toEqual(["snapshot", "update", "state"]);
  expect(off).toEqual([]);
});
