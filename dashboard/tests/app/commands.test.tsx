// @vitest-environment happy-dom
import { fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, test } from "vitest";
import type { Publish } from "../../src/client/protocol.ts";
import type { FakeHub } from "../../src/testing/index.ts";
import { elapse, type RoomOptions, room, withRoom } from "./room.tsx";

withRoom();

const POSITION = { asset_pair: "BTCUSD", side: "LONG", size: "0.0280", unrealized_pnl: "0.98" };
const CONFIG = { min_confidence: 55, stop_loss_pct: "-1.5", asset_pairs: ["BTCUSD"] };

/** An agent at work, that listens. */
async function desk(prepare: (hub: FakeHub) => void = () => {}, options: RoomOptions = {}) {
  const opened = await room((hub) => {
    hub.set("portfolio", { equity: "1", currency: "USD", mode: "paper" });
    hub.set("status", { state: "RUNNING", ooda_state: "IDLE", config: CONFIG });
    hub.patch("positions", { upsert: { p1: POSITION, p2: { ...POSITION, asset_pair: "ETHUSD" } } });
    hub.listen("commands");
    prepare(hub);
  }, options);
  const sent = () =>
    opened.hub.heard
      .filter(({ method }) => method === "publish")
      .map(({ params }) => params as Publish);
  return { ...opened, sent };
}

const button = (name: string | RegExp) => screen.getByRole("button", { name });
const dialog = () => screen.getByRole("dialog");
const textOf = (element: Element) => element.textContent ?? "";
const panel = (name: string) => screen.getByRole("region", { name });
const isDisabled = (name: string | RegExp) => button(name).getAttribute("aria-disabled") === "true";
const describedBy = (element: Element) =>
  textOf(document.getElementById(element.getAttribute("aria-describedby") ?? "") as Element);

/** Press a button, and wait until what it asks may be answered. */
async function press(name: string | RegExp) {
  fireEvent.click(button(name));
  await elapse(500);
}

describe("a button", () => {
  test("asks first, with what there is now, and sends once however often it is pressed", async () => {
    const { hub, sent } = await desk();
    await press("Pause");
    expect(textOf(dialog())).toContain("Pause the agent?");
    expect(textOf(dialog())).toContain("The 2 open positions stay open.");
    expect(within(dialog()).getByRole("img", { name: "Trading mode: Paper" })).toBeTruthy();
    hub.patch("positions", { delete: ["p2"] });
    await elapse(200);
    expect(textOf(dialog())).toContain("The 1 open position stays open.");
    expect(sent()).toEqual([]);
    const confirm = button("Pause it");
    fireEvent.click(confirm);
    fireEvent.click(confirm);
    await elapse(10);
    expect(sent()).toMatchObject([
      { channel: "commands", event: "agent.pause", data: {}, expires_in_ms: 10_000 },
    ]);
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  test("shows each step in its place, to the end", async () => {
    const { hub } = await desk();
    await press("Stop");
    await press("Stop it");
    const progress = () => textOf(screen.getByRole("status", { name: "The last command" }));
    expect(progress()).toContain("Stop  sent The hub has it; no worker of the agent has begun.");
    hub.step("c1", "accepted", { worker: "paper@desk:1" });
    await elapse(10);
    expect(progress()).toContain("Begun by paper@desk:1 …");
    hub.step("c1", "done", { result: { state: "STOPPED" } });
    await elapse(200);
    expect(progress()).toContain("done state STOPPED");
    expect(textOf(panel("Commands, newest first"))).toContain("doneStop");
    expect(textOf(panel("Commands, newest first"))).toContain("by test: state STOPPED");
  });

  test("of what makes no sense now can't be pressed, and says why", async () => {
    const { hub } = await desk();
    expect(isDisabled("Resume")).toBe(true);
    expect(describedBy(button("Resume"))).toBe("The agent is not paused.");
    await press("Resume");
    expect(screen.queryByRole("dialog")).toBeNull();
    hub.set("status", { state: "PAUSED", paused: true });
    await elapse(200);
    expect(isDisabled("Resume")).toBe(false);
    expect(describedBy(button("Pause"))).toBe("The agent is paused already.");
    hub.set("status", { state: "STOPPED" });
    await elapse(200);
    expect(["Start", "Pause", "Resume", "Stop"].map(isDisabled)).toEqual([false, true, true, true]);
  });

  test("is pressed by the first click of a double click alone", async () => {
    const { sent } = await desk();
    fireEvent.click(button("Pause"), { detail: 2 });
    expect(screen.queryByRole("dialog")).toBeNull();
    fireEvent.click(button("Pause"), { detail: 1 });
    // Where the next button came up under the pointer.
    fireEvent.click(button("Pause it"), { detail: 1 });
    await elapse(500);
    fireEvent.click(button("Pause it"), { detail: 2 });
    await elapse(10);
    expect(sent()).toEqual([]);
  });

  test("asks no more once it is answered no", async () => {
    const { sent } = await desk();
    await press("Pause");
    await press("Cancel");
    expect(screen.queryByRole("dialog")).toBeNull();
    await press("Pause");
    fireEvent(dialog(), new Event("cancel", { cancelable: true }));
    await elapse(10);
    expect(screen.queryByRole("dialog")).toBeNull();
    expect(sent()).toEqual([]);
  });
});

describe("closing a position", () => {
  test("asks with its side and size as they are now, and shows what came of it", async () => {
    const { hub, sent } = await desk();
    await press("Close BTCUSD");
    expect(textOf(dialog())).toContain("Close BTCUSD?");
    expect(textOf(dialog())).toContain("LONG");
    expect(textOf(dialog())).toContain("0.0280");
    hub.patch("positions", { upsert: { p1: { ...POSITION, size: "0.01" } } });
    await elapse(200);
    expect(textOf(dialog())).toContain("Size0.01");
    await press("Close BTCUSD now");
    expect(sent()).toMatchObject([{ event: "position.close", data: { id: "p1" } }]);
    expect(isDisabled("Close BTCUSD: It is being closed.")).toBe(true);
    expect(isDisabled("Close ETHUSD")).toBe(false);
    hub.step("c1", "accepted");
    hub.patch("positions", { delete: ["p1"] });
    hub.step("c1", "done", { result: { id: "t", price: "42010.50", realized_pnl: "3.2" } });
    await elapse(200);
    const progress = screen.getByRole("status", { name: "The last position to close" });
    expect(textOf(progress)).toContain("Close BTCUSD done At 42,010.50, +3.2");
  });

  test("that went meanwhile can't be confirmed", async () => {
    const { hub, sent } = await desk();
    await press("Close BTCUSD");
    hub.patch("positions", { delete: ["p1"] });
    await elapse(200);
    expect(textOf(within(dialog()).getByRole("alert"))).toBe("The position is not open any more.");
    await press("Close BTCUSD now");
    expect(sent()).toEqual([]);
  });

  test("of an account goes to its agent", async () => {
    const { sent } = await desk(
      (hub) => {
        hub.set("portfolio:desk-7", { equity: "1", mode: "live" });
        hub.patch("positions:desk-7", { upsert: { x: POSITION } });
        hub.set("status:desk-7", { state: "RUNNING" });
        hub.listen("commands:desk-7");
      },
      { channels: ["portfolio:desk-7", "positions:desk-7"] },
    );
    await press("Close BTCUSD");
    expect(textOf(dialog())).toContain("desk-7 closes this position at once");
    expect(textOf(dialog())).toContain("Live money");
    await press("Close BTCUSD now");
    expect(sent()).toMatchObject([{ channel: "commands:desk-7", data: { id: "x" } }]);
  });
});

describe("an emergency stop", () => {
  test("takes a second button with other words, and lasts a minute", async () => {
    const { hub, sent } = await desk();
    await press("Emergency stop");
    const asked = screen.getByRole("alertdialog");
    expect(textOf(asked)).toContain("The agent closes all 2 open positions at once and stops.");
    await press("Close 2 positions and stop");
    expect(sent()).toMatchObject([{ event: "emergency.stop", expires_in_ms: 60_000 }]);
    hub.step("c1", "done", { result: { state: "STOPPED", closed: ["p1", "p2"] } });
    await elapse(200);
    expect(textOf(panel("Commands to the agent"))).toContain("Emergency stop  done 2 closed");
  });

  test("is never held back: not by old numbers, nor where no agent listens", async () => {
    const { hub, sent } = await desk();
    hub.mark("status", "stale");
    hub.mark("commands", "stale");
    await elapse(200);
    await press("Emergency stop");
    expect(textOf(screen.getByRole("alertdialog"))).toContain("No agent listens now");
    await press("Close 2 positions and stop");
    expect(sent()).toHaveLength(1);
  });

  test("without a connection is tried for a minute, and says so", async () => {
    const { hub, sent } = await desk();
    hub.isUp = false;
    hub.drop();
    await elapse(200);
    await press("Emergency stop");
    expect(textOf(screen.getByRole("alertdialog"))).toContain("The hub can't be reached now");
    await press("Close 2 positions and stop");
    const asked = screen.getByRole("alertdialog");
    expect(textOf(asked)).toContain("No connection: it is tried until");
    expect(sent()).toEqual([]);
    hub.isUp = true;
    await elapse(20_000);
    expect(sent()).toHaveLength(1);
    expect(screen.queryByRole("alertdialog")).toBeNull();
  });
});

describe("where a command can't be given", () => {
  const names = ["Start", "Pause", "Resume", "Stop", /^Close BTCUSD/, /^Close ETHUSD/];
  const hint = () => describedBy(button("Pause"));

  test("since no agent listens, the buttons say so", async () => {
    const { hub } = await desk();
    hub.mark("commands", "stale");
    await elapse(200);
    expect(names.map(isDisabled)).toEqual(names.map(() => true));
    expect(hint()).toBe("No agent listens.");
    expect(button("Close BTCUSD: No agent listens.")).toBeTruthy();
    expect(textOf(panel("Commands"))).toContain("no agent listens");
    expect(panel("Commands").dataset.state).toBe("live");
    expect(isDisabled("Emergency stop")).toBe(false);
  });

  test("since nobody ever looked for commands there, the same", async () => {
    await room((hub) => hub.set("status", { state: "RUNNING" }));
    expect(hint()).toBe("No agent listens.");
  });

  test("since the connection went, a dialog that is open says so, and is right again after it", async () => {
    const { hub, sent } = await desk();
    await press("Pause");
    hub.isUp = false;
    hub.drop();
    await elapse(200);
    expect(textOf(within(dialog()).getByRole("alert"))).toBe("Not connected to the hub.");
    await press("Pause it");
    hub.isUp = true;
    await elapse(3000);
    expect(textOf(within(dialog()).getByRole("alert"))).toBe("");
    expect(sent()).toEqual([]);
    await press("Pause it");
    expect(sent()).toHaveLength(1);
  });

  test("since the numbers are old, it is so too", async () => {
    const { hub } = await desk();
    await press("Close BTCUSD");
    hub.mark("positions", "stale");
    await elapse(200);
    expect(textOf(within(dialog()).getByRole("alert"))).toBe("What is shown is old.");
    expect(textOf(dialog())).toMatch(/as of \d\d:\d\d:\d\d/);
    expect(isDisabled("Close BTCUSD now")).toBe(true);
  });

  test("since the token has no right, none is offered", async () => {
    const session = { subject: "eve", read: ["*"], publish: ["*"], command: ["commands:other"] };
    await desk(() => {}, { table: { "GET session": session } });
    expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
    expect(screen.queryByRole("button", { name: "Emergency stop" })).toBeNull();
    expect(screen.queryByRole("button", { name: "Close BTCUSD" })).toBeNull();
    expect(screen.queryByRole("region", { name: "Commands" })).toBeNull();
  });

  test("since the hub refuses the channel, none is offered either", async () => {
    await desk((hub) => {
      hub.mayRead = (channel) => channel !== "commands";
    });
    expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
  });

  test("and the hub alone knows that, it is said after the first", async () => {
    const { hub } = await desk();
    hub.mayCommand = () => false;
    await press("Pause");
    await press("Pause it");
    expect(textOf(within(dialog()).getByRole("alert"))).toContain(
      "The hub refused it: the token does not allow commanding commands (4403). Nothing was sent.",
    );
    await press("Back");
    expect(hint()).toBe("This token may not command the agent.");
    expect(isDisabled("Emergency stop")).toBe(false);
  });
});

test("a connection that is lost while it is sent is never taken for success", async () => {
  const { hub } = await desk();
  await press("Pause");
  hub.isSilent = true;
  fireEvent.click(button("Pause it"));
  await elapse(10);
  expect(button("Sending …")).toBeTruthy();
  hub.isUp = false;
  hub.drop();
  await elapse(200);
  const said = () => textOf(within(dialog()).getByRole("alert"));
  expect(said()).toMatch(/tried until .* not known whether the hub has it/);
  await elapse(10_000);
  expect(said()).toContain("Not known whether it was taken: the connection to the hub was lost.");
  expect(said()).toContain("Look at the list of commands");
  await press("Back");
  expect(textOf(panel("Commands to the agent"))).toContain("unknown");
});

test("what fails or expires says why", async () => {
  const { hub } = await desk();
  await press("Pause");
  await press("Pause it");
  hub.step("c1", "failed", { reason: "the market is closed" });
  await elapse(200);
  expect(textOf(panel("Commands to the agent"))).toContain("failed the market is closed");
  await press("Pause");
  await press("Pause it");
  hub.step("c2", "expired", { worker: null, attempt: 0 });
  await elapse(200);
  expect(textOf(panel("Commands to the agent"))).toContain("No agent began it in time");
});

test("a step is heard on another page of the dashboard too", async () => {
  const { hub, desk: opened } = await desk();
  await press("Pause");
  await press("Pause it");
  location.hash = "#/dev";
  fireEvent(window, new Event("hashchange"));
  await elapse(5000);
  hub.step("c1", "done");
  await elapse(10);
  location.hash = "#/";
  fireEvent(window, new Event("hashchange"));
  await elapse(500);
  expect(textOf(panel("Commands to the agent"))).toContain("Pause  done");
  expect(opened().client.status.state).toBe("live");
});

test("a setting is changed to a value of its sort", async () => {
  const { sent } = await desk();
  const value = screen.getByLabelText("Value") as HTMLInputElement;
  expect(within(panel("Commands to the agent")).getAllByRole("option")).toHaveLength(2);
  expect(value.value).toBe("55");
  expect(isDisabled("Change")).toBe(true);
  fireEvent.change(value, { target: { value: "much" } });
  expect(describedBy(value)).toBe("Expected a number.");
  fireEvent.click(button("Change"));
  expect(screen.queryByRole("dialog")).toBeNull();
  fireEvent.change(value, { target: { value: "60" } });
  await press("Change");
  expect(textOf(dialog())).toContain("changes min_confidence from 55 to 60");
  await press("Set it to 60");
  fireEvent.change(screen.getByLabelText("Setting"), { target: { value: "stop_loss_pct" } });
  fireEvent.change(value, { target: { value: "-2.0" } });
  await press("Change");
  await press("Set it to -2.0");
  expect(sent().map(({ event, data }) => [event, data])).toEqual([
    ["config.set", { min_confidence: 60 }],
    ["config.set", { stop_loss_pct: "-2.0" }],
  ]);
});

test("commands of others are listed, with who sent them", async () => {
  const { hub } = await desk();
  const sent = { id: "x", sender: "bob", expires_at: 0, data: { id: "p9" } };
  hub.append("commands", sent, "position.close");
  const step = { id: "x", event: "position.close", sender: "bob", attempt: 1, worker: "w" };
  hub.append("commands", { ...step, reason: "p9 is not open" }, "command.failed");
  hub.append("commands", { ...sent, id: "y", data: { speed: 3 } }, "desk.hurry");
  await elapse(200);
  const lines = within(panel("Commands, newest first")).getAllByRole("listitem").map(textOf);
  expect(lines[0]).toMatch(/^sentdesk\.hurryspeed 3.*by bob$/);
  expect(lines[1]).toMatch(/^failedClosep9.*by bob: p9 is not open$/);
});
