// @vitest-environment happy-dom
import { render } from "@testing-library/react";
import type { ComponentType, ReactNode } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, pageOf, withPage } from "./page.tsx";

withPage();

/** A component of a document's program, by the program's number. */
async function shown(program: string, name: string): Promise<ComponentType<never>> {
  const module = (await import(/* @vite-ignore */ `document:${program}.tsx`)) as {
    [name: string]: ComponentType<never>;
  };
  const component = module[name];
  if (component === undefined) throw new Error(`expected ${name} in ${program}`);
  return component;
}

const PORTFOLIO = {
  balance: "9007199254740993.10",
  equity: "9007199254740993.25",
  available: "1.00",
  positions_count: 2,
  currency: "USD",
};

let hub: FakeHub;

beforeEach(() => {
  hub = new FakeHub();
  vi.stubGlobal("WebSocket", hub.WebSocket);
});

test("the component that changed its import computes as it did", async () => {
  const Overview = (await shown("migration.md/1", "PortfolioOverview")) as ComponentType;
  hub.set("portfolio", { ...PORTFOLIO, balance: "10000.00" });
  hub.patch("positions", {
    upsert: { a: { id: "a", unrealized_pnl: "12.50" }, b: { id: "b", unrealized_pnl: "-2.25" } },
  });
  const { container } = pageOf(hub, <Overview />);
  expect(container.textContent).toBe("Loading");
  await elapse(200);
  const values = [...container.querySelectorAll("dd")].map(({ textContent }) => textContent);
  expect(values).toEqual(["10000.00", "10.25"]);
  hub.patch("positions", { delete: ["b"] });
  await elapse(200);
  expect(container.textContent).toContain("12.50");
});

test("the value that knows of stale says as of when", async () => {
  const Value = (await shown("migration.md/2", "Value")) as ComponentType;
  hub.set("portfolio", { ...PORTFOLIO, equity: "10012.50" });
  const at = new Date().toISOString();
  const { container } = pageOf(hub, <Value />);
  await elapse(200);
  expect(container.textContent).toBe("10012.50");
  hub.mark("portfolio", "stale");
  await elapse(200);
  expect(container.textContent).toBe(`10012.50 as of ${at}`);
});

test("the value with every digit has every digit", async () => {
  const Equity = (await shown("migration.md/3", "Equity")) as ComponentType;
  hub.set("portfolio", PORTFOLIO);
  const { container } = pageOf(hub, <Equity />);
  await elapse(200);
  expect(container.textContent).toBe("$9,007,199,254,740,993.25");
});

test("the provider of an old application shows the old key", async () => {
  const Live = (await shown("migration.md/0", "Live")) as ComponentType<{
    url: string;
    children: ReactNode;
  }>;
  localStorage.setItem("api_key", "k-1");
  const { getByRole, container } = render(<Live url="http://hub">content</Live>);
  await elapse(1);
  expect(hub.connections.map(({ url, token }) => [url, token])).toEqual([["ws://hub/ws", "k-1"]]);
  expect(container.textContent).toContain("content");
  expect(getByRole("status").textContent).toBe("Live");
  localStorage.clear();
});

test("the application of the quick reference shows what is decided", async () => {
  const App = (await shown("quickref.md/0", "App")) as ComponentType<{ token: string | null }>;
  hub.append("decisions", { id: "d1", action: "BUY", asset_pair: "BTCUSD", reasoning: "momentum" });
  const { container, getByRole } = render(<App token="t" />);
  await elapse(200);
  expect(container.querySelector("li")?.textContent).toBe("BUY BTCUSD: momentum");
  expect(getByRole("status").textContent).toBe("Live");
});
