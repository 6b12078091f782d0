import { beforeEach, expect, test, vi } from "vitest";
import { connected, pass, withFakeTime } from "../setup.ts";

withFakeTime();

let page: EventTarget & { visibilityState: string };
let browser: EventTarget;

beforeEach(() => {
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  browser = new EventTarget();
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", browser);
  vi.stubGlobal("navigator", { onLine: true });
});

function show(visibilityState: "visible" | "hidden"): void {
  page.visibilityState = visibilityState;
  page.dispatchEvent(new Event("visibilitychange"));
}

function pings(heard: readonly { method: string }[]): number {
  return heard.filter(({ method }) => method === "ping").length;
}

test("a hidden page's listeners are told once a second, and at once when it is seen", async () => {
  const { hub, client } = await connected();
  const portfolio = client.channel("portfolio");
  hub.set("portfolio", 0);
  let told = 0;
  portfolio.subscribe(() => {
    told += 1;
  });
  await pass(100);
  show("hidden");
  told = 0;
  for (let n = 1; n <= 500; n += 1) {
    hub.set("portfolio", n);
    await pass(10);
  }
  expect(told).toBe(5);
  show("visible");
  expect(portfolio.getSnapshot().value).toBe(500);
});

test("offline and back: in doubt, lost, and live as soon as the network is", async () => {
  const { hub, client, states } = await connected();
  hub.isSilent = true;
  browser.dispatchEvent(new Event("offline"));
  expect(client.status).toMatchObject({ state: "stale", reason: "the browser is offline" });
  hub.isUp = false;
  await pass(5000);
  expect(client.status.state).toBe("offline");
  await pass(60_000);
  hub.isUp = true;
  hub.isSilent = false;
  browser.dispatchEvent(new Event("online"));
  await pass(0);
  expect(states.filter((state) => state !== "reconnecting")).toEqual([
    "connecting",
    "live",
    "stale",
    "offline",
    "offline",
    "offline",
    "live",
  ]);
});

test("a hub on this machine is reached though the browser is offline", async () => {
  vi.stubGlobal("navigator", { onLine: false });
  const { client } = await connected();
  expect(client.status.state).toBe("live");
});

test.each([
  [
    "a restored page",
    () => browser.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
  ],
  ["a resumed page", () => page.dispatchEvent(new Event("resume"))],
  ["a page that is seen again", () => show("visible")],
])(
  "%s asks the hub for a sign of life, and does without the rest of a delay",
  async (_name, wake) => {
    const { hub, client } = await connected();
    await pass(4000);
    const before = pings(hub.heard);
    wake();
    await pass(0);
    expect(pings(hub.heard)).toBe(before + 1);
    hub.drop();
    await pass(0);
    expect(client.status.state).toBe("reconnecting");
    wake();
    await pass(0);
    expect(client.status.state).toBe("live");
  },
);

test("a page that is shown for the first time is not restored", async () => {
  const { hub } = await connected();
  await pass(4000);
  const before = pings(hub.heard);
  browser.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  await pass(0);
  expect(pings(hub.heard)).toBe(before);
});

test("a socket that died while the page slept is found within seconds", async () => {
  const { hub, client } = await connected();
  await pass(4000);
  hub.isSilent = true;
  page.dispatchEvent(new Event("resume"));
  hub.isUp = false;
  await pass(5000);
  expect(client.status).toMatchObject({ state: "reconnecting", code: 1006 });
  client.close();
});

test("a closed client hears the browser no more", async () => {
  const { hub, client } = await connected();
  client.close();
  browser.dispatchEvent(new Event("online"));
  show("visible");
  await pass(60_000);
  expect([hub.attempts.length, client.status.state]).toEqual([1, "closed"]);
});
