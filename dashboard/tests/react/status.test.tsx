// @vitest-environment happy-dom
import { readFileSync } from "node:fs";
import { act, fireEvent } from "@testing-library/react";
import { expect, test } from "vitest";
import {
  ConnectionBadge,
  ConnectionStatus,
  FloatingConnectionStatus,
} from "../../src/react/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, pageOf, withPage } from "./page.tsx";

withPage();

test("the state is an icon and a word, told to those who listen", async () => {
  const { hub, getByRole, container } = await page(<ConnectionStatus />);
  const status = getByRole("status");
  expect(status.textContent).toBe("Live");
  expect(status.querySelector("svg")?.getAttribute("aria-hidden")).toBe("true");
  expect(container.querySelector("button")).toBeNull();
  const icon = status.querySelector("svg")?.innerHTML;
  hub.isUp = false;
  hub.drop(1012, "restart");
  await elapse(1);
  expect(getByRole("status").textContent).toBe("Reconnecting: restart");
  // Not by its colour alone.
  expect(status.querySelector("svg")?.innerHTML).not.toBe(icon);
});

test("the seconds until the next attempt are seen and not announced", async () => {
  const { hub, container, getByRole } = await page(<ConnectionStatus />, { minDelayMs: 3000 });
  hub.isUp = false;
  hub.drop();
  await elapse(1);
  const countdown = () => container.querySelector(".tapecast-countdown");
  expect(countdown()?.textContent).toBe("in 3 s");
  expect(countdown()?.getAttribute("aria-hidden")).toBe("true");
  await elapse(1000);
  expect(countdown()?.textContent).toBe("in 2 s");
  expect(getByRole("status").contains(countdown())).toBe(false);
});

test("somebody may try again now", async () => {
  const hub = new FakeHub();
  hub.takesToken = () => false;
  const { getByRole } = pageOf(hub, <ConnectionStatus />);
  await elapse(1000);
  expect(getByRole("status").textContent).toContain("Signed out");
  hub.takesToken = () => true;
  act(() => {
    fireEvent.click(getByRole("button", { name: "Try now" }));
  });
  await elapse(1);
  expect(getByRole("status").textContent).toBe("Live");
});

test("the badge and the compact form have the word too, and the latency as a title", async () => {
  const { getAllByRole, container } = await page([
    <ConnectionBadge key="b" />,
    <ConnectionStatus key="c" compact />,
  ]);
  await elapse(7000);
  expect(getAllByRole("status").map(({ textContent }) => textContent)).toEqual(["Live", "Live"]);
  const titles = [...container.querySelectorAll("[title]")].map((e) => e.getAttribute("title"));
  expect(titles).toEqual(["Live, 0 ms", "Live, 0 ms"]);
});

test("the floating one is another place for the same", async () => {
  const { container } = await page(<FloatingConnectionStatus className="mine" />);
  const classes = container.querySelector("[data-state=live]")?.classList;
  expect([...(classes ?? [])]).toEqual(["tapecast-connection", "tapecast-floating", "mine"]);
});

test("the words may be others", async () => {
  const { getByRole } = await page(<ConnectionBadge labels={{ live: "Verbunden" }} />);
  expect(getByRole("status").textContent).toBe("Verbunden");
});

test("no element has styles of its own, which a strict policy would refuse", async () => {
  const { container } = await page([
    <ConnectionStatus key="1" />,
    <FloatingConnectionStatus key="2" />,
    <ConnectionBadge key="3" />,
  ]);
  expect(container.innerHTML).not.toMatch(/style=|<style/);
});

test("each class has a rule, and each rule a class", () => {
  const read = (name: string) => readFileSync(`src/react/${name}`, "utf8");
  const used = new Set(
    [read("status.tsx"), read("icons.tsx")].join().match(/(?<=["` ])tapecast-[a-z]+/g) ?? [],
  );
  const ruled = new Set(read("style.css").match(/(?<=\.)tapecast-[a-z]+/g) ?? []);
  expect([...ruled].sort()).toEqual([...used].sort());
});
