// @vitest-environment happy-dom
import { act, fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, test, vi } from "vitest";
import { notifying } from "../../src/app/shell/settings.ts";
import type { FakeHub } from "../../src/testing/index.ts";
import { elapse, room, withRoom } from "./room.tsx";

withRoom();

const PORTFOLIO = {
  balance: "10000.00",
  equity: "1234567.8912",
  available: "9000.5",
  exposure: "1000",
  realized_pnl: "-6.50",
  unrealized_pnl: "174.69",
  currency: "USD",
  platform: "paper",
  mode: "paper",
};

function position(extra: object = {}) {
  return {
    asset_pair: "BTCUSD",
    side: "LONG",
    size: "0.0280",
    entry_price: "87537.2",
    current_price: "87572.4",
    unrealized_pnl: "0.98",
    unrealized_pnl_pct: "0.04",
    margin_used: "490.20",
    opened_at: new Date(Date.now() - 3_900_000).toISOString(),
    ...extra,
  };
}

function decide(hub: FakeHub, id: string, extra: object = {}, event = "decision_made") {
  const decision = {
    id,
    action: "BUY",
    asset_pair: "BTCUSD",
    confidence: 72,
    reasoning: `why ${id}`,
  };
  hub.append("decisions", { ...decision, ...extra }, event);
}

const panel = (name: string) => screen.getByRole("region", { name });
const textOf = (element: Element) => element.textContent ?? "";

describe("the portfolio", () => {
  test("is shown with every digit that was sent", async () => {
    await room((hub) => hub.set("portfolio", PORTFOLIO));
    const portfolio = panel("Portfolio");
    expect(textOf(portfolio)).toContain("1,234,567.8912");
    expect(textOf(portfolio)).toContain("\u22126.50");
    expect(textOf(portfolio)).toContain("+174.69");
    expect(screen.getByRole("img", { name: "Trading mode: Paper" })).toBeTruthy();
  });

  test("says what the day brought, in the title too", async () => {
    const { hub } = await room((to) => to.set("portfolio", PORTFOLIO));
    hub.set("portfolio", { ...PORTFOLIO, equity: "1234568.8912" });
    await elapse(1000);
    expect(textOf(panel("Portfolio"))).toContain("+1.000.00 %P&L since");
    expect(document.title).toBe("+1.00 (0.00 %) USD · paper · Tapecast");
  });

  test("of real money is announced as such", async () => {
    await room((hub) => hub.set("portfolio", { ...PORTFOLIO, mode: "live" }));
    expect(textOf(screen.getByRole("img", { name: /^Trading mode/ }))).toBe("Live money");
    await elapse(1000);
    expect(document.title).toContain("· live ·");
  });

  test("that does not say whose money it is leaves no doubt about the doubt", async () => {
    await room((hub) => hub.set("portfolio", { ...PORTFOLIO, mode: undefined }));
    expect(screen.getByRole("img", { name: "Trading mode: Paper or live: unknown" })).toBeTruthy();
  });
});

describe("what is old", () => {
  test("is marked where its producer is silent, though the connection is live", async () => {
    const { hub } = await room((to) => {
      to.set("portfolio", PORTFOLIO);
      to.patch("positions", { upsert: { p1: position() } });
    });
    expect(panel("Portfolio").dataset.state).toBe("live");
    hub.mark("portfolio", "stale");
    await elapse(1500);
    const portfolio = panel("Portfolio");
    expect(portfolio.dataset.state).toBe("stale");
    expect(textOf(portfolio)).toMatch(/as of \d\d:\d\d:\d\d, 1 s ago/);
    expect(panel("Positions").dataset.state).toBe("live");
    expect(document.title).toMatch(/^\(old\)/);
    hub.mark("portfolio", "live");
    await elapse(1500);
    expect(panel("Portfolio").dataset.state).toBe("live");
  });

  test("is everything where the connection went, and the page says so", async () => {
    const { hub } = await room((to) => to.set("portfolio", PORTFOLIO));
    hub.isUp = false;
    hub.drop(1012, "restart");
    await elapse(500);
    expect(textOf(screen.getByRole("alert"))).toMatch(/^Not connected/);
    expect(panel("Positions").dataset.state).toBe("stale");
    hub.isUp = true;
    fireEvent.click(screen.getByRole("button", { name: "Reconnect now" }));
    await elapse(500);
    expect(screen.queryByRole("alert")).toBeNull();
    expect(panel("Portfolio").dataset.state).toBe("live");
  });

  test("is as of when the hub was last heard, not as of when that was noticed", async () => {
    const { hub } = await room((to) => to.set("portfolio", PORTFOLIO));
    const heardAt = Date.now() - 300;
    hub.isSilent = true;
    await elapse(9000);
    const at = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" }).format(heardAt);
    expect(textOf(screen.getByRole("alert"))).toContain(`as of ${at}`);
    expect(textOf(panel("Portfolio"))).toContain(`as of ${at}, 9 s ago`);
  });
});

test("what the token does not allow to read is said in its panel", async () => {
  await room((hub) => {
    hub.mayRead = (channel) => channel !== "positions";
  });
  expect(panel("Positions").dataset.state).toBe("refused");
  expect(textOf(panel("Positions"))).toContain("the token does not allow reading positions");
});

describe("positions", () => {
  const pairs = () =>
    within(panel("Positions"))
      .queryAllByRole("rowheader")
      .map((each) => each.firstChild?.textContent);

  test("are none, or rows with how long they are held", async () => {
    const { hub } = await room();
    expect(textOf(panel("Positions"))).toContain("No positions yet");
    hub.patch("positions", { upsert: {} });
    await elapse(200);
    expect(textOf(panel("Positions"))).toContain("No open positions");
    hub.patch("positions", { upsert: { p1: position() } });
    await elapse(1000);
    expect(pairs()).toEqual(["BTCUSD"]);
    expect(textOf(panel("Positions"))).toContain("1 h 5 min");
    hub.patch("positions", { delete: ["p1"] });
    await elapse(200);
    expect(pairs()).toEqual([]);
  });

  test("are ordered by the heading that was pressed", async () => {
    await room((hub) =>
      hub.patch("positions", {
        upsert: {
          p1: position({ asset_pair: "A", unrealized_pnl: "9" }),
          p2: position({ asset_pair: "B", unrealized_pnl: "10" }),
          p3: position({ asset_pair: "C", unrealized_pnl: "-5" }),
        },
      }),
    );
    expect(pairs()).toEqual(["A", "B", "C"]);
    const heading = within(panel("Positions")).getByRole("columnheader", { name: /^P&L$/ });
    fireEvent.click(within(heading).getByRole("button"));
    expect(pairs()).toEqual(["B", "A", "C"]);
    expect(heading.getAttribute("aria-sort")).toBe("descending");
  });

  test("of which one changes leave the others' rows untouched", async () => {
    const { hub } = await room((to) =>
      to.patch("positions", {
        upsert: { p1: position({ asset_pair: "A" }), p2: position({ asset_pair: "B" }) },
      }),
    );
    const [, first, second] = within(panel("Positions")).getAllByRole("row");
    const touched: Node[] = [];
    const watch = new MutationObserver((changes) => touched.push(...changes.map((c) => c.target)));
    const everything = { childList: true, characterData: true, attributes: true, subtree: true };
    for (const row of [first, second]) watch.observe(row as Node, everything);
    hub.patch("positions", { upsert: { p1: position({ asset_pair: "A", current_price: "1" }) } });
    await elapse(200);
    expect(textOf(first as Element)).toContain("A");
    expect(touched.length).toBeGreaterThan(0);
    expect(touched.filter((node) => (second as Node).contains(node))).toEqual([]);
    watch.disconnect();
  });

  test("are shown in parts where they are many", async () => {
    const rows = Array.from({ length: 150 }, (_, i) => [
      `p${i}`,
      position({ asset_pair: `P${i}` }),
    ]);
    await room((hub) => hub.patch("positions", { upsert: Object.fromEntries(rows) }));
    expect(pairs()).toHaveLength(60);
    fireEvent.click(screen.getByRole("button", { name: "Show 60 more of 90" }));
    expect(pairs()).toHaveLength(120);
  });
});

describe("decisions", () => {
  const list = () => screen.getByRole("region", { name: "Decisions, newest first" });
  const shown = () =>
    within(list())
      .queryAllByRole("listitem")
      .map((item) => textOf(item));

  function scroll(top: number) {
    const element = list();
    Object.defineProperty(element, "scrollTop", { value: top, configurable: true, writable: true });
    fireEvent.scroll(element);
  }

  test("say how sure, why, and whether it was done", async () => {
    await room((hub) => decide(hub, "d1", { reasoning: "<b>plain</b> text" }));
    expect(shown()[0]).toContain("72 %");
    expect(shown()[0]).toContain("<b>plain</b> text");
    expect(shown()[0]).toContain("not executed");
    expect(within(list()).getByRole("meter", { name: "Confidence" })).toBeTruthy();
  });

  test("that are read never shift, and what is new is counted", async () => {
    const { hub } = await room((to) => decide(to, "d1"));
    scroll(40);
    decide(hub, "d2");
    decide(hub, "d3");
    decide(hub, "d1", { executed: true }, "decision_updated");
    await elapse(300);
    expect(shown()).toHaveLength(1);
    expect(shown()[0]).not.toContain("not executed");
    scroll(0);
    expect(shown()).toHaveLength(3);
  });

  test("the pill leads back to the newest", async () => {
    const { hub } = await room((to) => decide(to, "d1"));
    scroll(40);
    decide(hub, "d2");
    await elapse(300);
    fireEvent.click(screen.getByRole("button", { name: "1 new decision" }));
    expect(shown()[0]).toContain("why d2");
    expect(screen.queryByRole("button", { name: /new decision/ })).toBeNull();
  });

  test("are filtered by action, by whether they were done, and by words", async () => {
    await room((hub) => {
      decide(hub, "d1", { action: "SELL" });
      decide(hub, "d2", { executed: true });
      decide(hub, "d3", { asset_pair: "ETHUSD" });
    });
    fireEvent.click(screen.getByRole("button", { name: "Sell" }));
    expect(shown()).toHaveLength(1);
    fireEvent.click(screen.getByRole("button", { name: "Sell" }));
    fireEvent.click(screen.getByRole("button", { name: "Executed" }));
    expect(shown()[0]).toContain("why d2");
    fireEvent.click(screen.getByRole("button", { name: "Executed" }));
    const search = screen.getByRole("searchbox", { name: "Search decisions" });
    fireEvent.change(search, { target: { value: "eth" } });
    expect(shown()[0]).toContain("why d3");
    fireEvent.change(search, { target: { value: "nothing" } });
    expect(textOf(list())).toBe("No decision passes the filter");
  });
});

test("the agent's step is the current one of its loop, with the reason", async () => {
  await room((hub) => {
    hub.set("status", {
      state: "RUNNING",
      ooda_state: "RISK_CHECK",
      totals: { wins: 3, losses: 1 },
    });
    hub.append("agent", { reason: "BUY BTCUSD" }, "state_transition");
  });
  const loop = screen.getByRole("list", { name: "The agent's loop" });
  const current = within(loop).getByText("Risk check");
  expect(current.getAttribute("aria-current")).toBe("step");
  expect(textOf(panel("Agent"))).toContain("BUY BTCUSD");
  expect(textOf(panel("Agent"))).toContain("3 / 1");
});

describe("alerts", () => {
  const alert = { severity: "critical", title: "Margin call", detail: "now" };

  test("are listed, and said aloud when they come", async () => {
    const { hub } = await room();
    hub.append("alerts", alert, "alert");
    await elapse(1200);
    expect(textOf(panel("Alerts"))).toContain("Margin call");
    expect(textOf(screen.getByRole("status", { name: "Newest alert" }))).toBe(
      "critical alert: Margin call: now",
    );
  });

  test("that are critical are notified by the browser, where that was chosen", async () => {
    const notified = vi.fn();
    vi.stubGlobal(
      "Notification",
      class {
        constructor(title: string) {
          notified(title);
        }
      },
    );
    const { hub } = await room((to) => to.append("alerts", alert, "alert"));
    hub.append("alerts", alert, "alert");
    await elapse(200);
    expect(notified).not.toHaveBeenCalled();
    act(() => notifying.set("on"));
    hub.append("alerts", { ...alert, severity: "warning" }, "alert");
    hub.append("alerts", alert, "alert");
    await elapse(200);
    expect(notified.mock.calls).toEqual([["Margin call"]]);
    act(() => notifying.set("off"));
  });
});

describe("accounts", () => {
  test("of which there are several are chosen from", async () => {
    await room(
      (hub) => {
        hub.set("portfolio:a", { ...PORTFOLIO, equity: "1.00" });
        hub.set("portfolio:b", { ...PORTFOLIO, equity: "2.00" });
      },
      { channels: ["portfolio:a", "portfolio:b"] },
    );
    expect(textOf(panel("Portfolio"))).toContain("1.00");
    fireEvent.change(screen.getByRole("combobox", { name: "Account" }), { target: { value: "b" } });
    await elapse(300);
    expect(textOf(panel("Portfolio"))).toContain("2.00");
  });

  test("of which there are none yet are said to be missing", async () => {
    await room(() => {}, { channels: [] });
    expect(screen.getByRole("heading", { name: "No channels yet" })).toBeTruthy();
  });
});

describe("the door", () => {
  test("opens to a token, and says why it does not", async () => {
    const { answers } = await room(() => {}, { table: { "POST session": 401 } });
    expect(textOf(screen.getByRole("alert"))).toContain("does not take this token");
    fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
    expect(textOf(screen.getByRole("alert"))).toBe("Enter a token.");
    answers.table["POST session"] = 204;
    fireEvent.change(screen.getByLabelText("Token or API key"), { target: { value: " good " } });
    fireEvent.click(screen.getByRole("button", { name: "Sign in" }));
    await elapse(300);
    expect(panel("Portfolio")).toBeTruthy();
    expect(answers.asked.filter(({ body }) => body).at(-1)?.body).toEqual({ token: "good" });
  });

  test("is shown when the hub does not take the session any more", async () => {
    const { hub } = await room();
    hub.drop(4401, "the token ended");
    await elapse(300);
    expect(textOf(screen.getByRole("alert"))).toBe("You were signed out: the token ended.");
    expect(document.title).toBe("Tapecast");
  });

  test("is where signing out leads", async () => {
    await room();
    fireEvent.click(screen.getByRole("button", { name: "Sign out" }));
    await elapse(10);
    expect(screen.getByRole("button", { name: "Sign in" })).toBeTruthy();
  });
});

describe("the other pages", () => {
  async function go(hash: string) {
    location.hash = hash;
    act(() => void dispatchEvent(new Event("hashchange")));
    await elapse(2500);
  }

  test("the developer's shows frames, positions and faults", async () => {
    const { hub, desk } = await room((to) => to.set("portfolio", PORTFOLIO));
    await go("#/dev");
    const frames = screen.getByRole("region", { name: "Frames, newest first" });
    expect(within(frames).getAllByRole("listitem").length).toBeGreaterThan(3);
    fireEvent.change(screen.getByRole("searchbox", { name: "Filter frames" }), {
      target: { value: "out subscribe portfolio" },
    });
    expect(within(frames).getAllByRole("listitem")).toHaveLength(1);
    expect(textOf(panel("Positions in channels"))).toContain("e1:1:");
    fireEvent.click(screen.getByRole("button", { name: "Drop the socket" }));
    expect(desk().client.status.state).toBe("reconnecting");
    await elapse(2000);
    expect(textOf(panel("Gaps and resumes"))).toContain("nothing was missed");
    fireEvent.click(screen.getByRole("button", { name: "Stall the socket" }));
    hub.set("portfolio", { ...PORTFOLIO, equity: "5" });
    await elapse(9000);
    expect(desk().client.status.state).toBe("stale");
    fireEvent.click(screen.getByRole("button", { name: "Let it through" }));
    await elapse(1000);
    expect(desk().client.status.state).toBe("live");
  });

  test("the hub's counts what it does, while it is looked at", async () => {
    let delivered = 0;
    const counts = () => {
      delivered += 250;
      return {
        ts: Date.now() * 1000,
        connections: 12,
        delivered,
        closes: { "4401": 3 },
        channels: [{ name: "portfolio", kind: "value", stale: true }],
      };
    };
    const { answers } = await room(() => {}, { table: { "GET hub": counts } });
    await go("#/hub");
    expect(textOf(panel("Connections"))).toContain("12");
    expect(textOf(panel("Deliveries"))).toContain("250");
    expect(textOf(panel("Closes by code"))).toContain("token missing or refused");
    expect(textOf(panel("Channels"))).toContain("stale");
    await go("#/");
    const asked = answers.asked.length;
    await elapse(4000);
    const later = answers.asked.slice(asked).filter(({ path }) => path === "hub");
    expect(later).toEqual([]);
  });

  test("the hub's says where the hub is too old to tell", async () => {
    await room();
    await go("#/hub");
    expect(textOf(screen.getByRole("alert"))).toContain("older than this page");
  });
});
