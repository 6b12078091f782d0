import { describe, expect, test, vi } from "vitest";
import { pageMemory, recall, remember } from "../../src/app/data/memory.ts";
import type { Ground } from "../../src/app/push/ground.ts";
import { shownFor, showsDashboard, urlOf } from "../../src/app/push/message.ts";
import { Pushing } from "../../src/app/push/pushing.ts";
import { Answers } from "./answers.ts";

const SCOPE = "https://desk.example/";

describe("a push", () => {
  test("is shown with what the sink sent", () => {
    const pushed = {
      id: "a-1",
      tag: "i-1",
      severity: "critical",
      title: "Drawdown",
      detail: "12 %",
    };
    expect(shownFor(JSON.stringify(pushed), SCOPE)).toEqual({
      title: "Drawdown",
      options: {
        body: "12 %",
        tag: "tapecast i-1",
        requireInteraction: true,
        data: { url: SCOPE },
      },
    });
  });

  test("of an end takes the place of the beginning, and stays no longer than others", () => {
    const pushed = { id: "a-2", tag: "i-1", severity: "critical", title: "Drawdown" };
    const { options } = shownFor(JSON.stringify({ ...pushed, state: "resolved" }), SCOPE);
    expect(options.tag).toBe("tapecast i-1");
    expect(options.requireInteraction).toBe(false);
  });

  test.each([null, "", "{", "7", "null", "[]", '{"title": 7, "tag": null}'])(
    "that is %j is shown all the same: browsers end a subscription that shows nothing",
    (pushed) => {
      const { title, options } = shownFor(pushed, SCOPE);
      expect(title).toBe("Tapecast: an alert");
      expect(options).toMatchObject({ body: "", data: { url: SCOPE } });
    },
  );

  test.each([
    ["https://desk.example/live/#/hub", "https://desk.example/live/#/hub"],
    ["/#/hub", "https://desk.example/#/hub"],
    ["https://evil.example/", SCOPE],
    ["javascript:alert(1)", SCOPE],
    ["https://", SCOPE],
    [undefined, SCOPE],
  ])("whose URL is %s opens %s", (url, opened) => {
    const { options } = shownFor(JSON.stringify({ title: "t", url }), SCOPE);
    expect(urlOf(options.data, SCOPE)).toBe(opened);
  });

  test("that another version showed opens the dashboard", () => {
    expect([undefined, null, {}, { url: 7 }].map((data) => urlOf(data, SCOPE))).toEqual(
      Array(4).fill(SCOPE),
    );
  });

  test("brings the dashboard to the front, and no other page", () => {
    expect(["", "#/hub", "?x#/dev"].map((rest) => showsDashboard(SCOPE + rest, SCOPE))).toEqual(
      Array(3).fill(true),
    );
    expect(showsDashboard(`${SCOPE}page/`, SCOPE)).toBe(false);
  });
});

const KEY = "BPub";
const KEY_BYTES = Uint8Array.from(atob(KEY), (each) => each.charCodeAt(0)).buffer;
const ID = "0123";

/** A browser that has what Web Push needs; its push service is called "maker". */
class FakeBrowser {
  permission: NotificationPermission = "granted";
  isThere = true;
  /** What its push service complains of. */
  complaint: Error | null = null;
  subscribed: unknown[] = [];
  unsubscribed = 0;
  #subscription: PushSubscription | null = null;

  readonly pushManager = {
    getSubscription: async () => this.#subscription,
    subscribe: async (options: PushSubscriptionOptionsInit) => {
      if (this.complaint !== null) throw this.complaint;
      this.subscribed.push(options.applicationServerKey);
      this.have(KEY_BYTES);
      return this.#subscription;
    },
  };

  have(key: ArrayBuffer): void {
    const keys = { p256dh: "p", auth: "a" };
    this.#subscription = {
      options: { applicationServerKey: key, userVisibleOnly: true },
      toJSON: () => ({ endpoint: "https://maker.example/1", expirationTime: null, keys }),
      unsubscribe: async () => {
        this.unsubscribed += 1;
        this.#subscription = null;
        return true;
      },
    } as unknown as PushSubscription;
  }

  get ground(): Ground {
    const registration = { pushManager: this.pushManager } as unknown as ServiceWorkerRegistration;
    return {
      isThere: this.isThere,
      permit: async () => this.permission,
      register: async () => registration,
      registration: async () => registration,
    };
  }
}

function make(table: Answers["table"] = {}, browser = new FakeBrowser(), memory = pageMemory()) {
  const answers = new Answers({
    "GET push": { on: true, public_key: KEY },
    "POST push/subscriptions": { id: ID },
    [`DELETE push/subscriptions/${ID}`]: 204,
    ...table,
  });
  const channels = () => ["alerts", "alerts:acct-7"];
  const { ground } = browser;
  const pushing = new Pushing({ api: answers.api(), memory, channels, ground });
  const asked = () => answers.asked.map(({ method, path }) => `${method} ${path}`);
  return { pushing, browser, memory, answers, asked };
}

describe("the switch", () => {
  test("is there where hub and browser offer it, and off at first", async () => {
    const { pushing, browser } = make();
    expect(pushing.getStanding()).toEqual({ state: "none", trouble: "" });
    await pushing.look();
    expect(pushing.getStanding()).toEqual({ state: "off", trouble: "" });
    expect(browser.subscribed).toEqual([]);
  });

  test.each([{ on: false, public_key: null }, {}, 404, 500, "away"] as const)(
    "is not there where the hub answers %j",
    async (answer) => {
      const { pushing } = make({ "GET push": answer });
      await pushing.look();
      expect(pushing.getStanding()).toEqual({ state: "none", trouble: "" });
    },
  );

  test("is not there in a browser that can't, and no hub is asked", async () => {
    const browser = new FakeBrowser();
    browser.isThere = false;
    const { pushing, asked } = make({}, browser);
    await pushing.look();
    expect(pushing.getStanding().state).toBe("none");
    expect(asked()).toEqual([]);
  });

  test("subscribes the browser with the hub's key, and hands it over", async () => {
    const { pushing, browser, answers, memory } = make();
    const heard = vi.fn();
    pushing.subscribe(() => heard(pushing.getStanding().state));
    await pushing.look();
    await pushing.switchOn();
    expect(heard.mock.calls.flat()).toEqual(["busy", "off", "busy", "on"]);
    expect(browser.subscribed).toEqual([KEY]);
    expect(answers.asked.at(-1)?.body).toEqual({
      endpoint: "https://maker.example/1",
      keys: { p256dh: "p", auth: "a" },
      channels: ["alerts", "alerts:acct-7"],
      public_key: KEY,
    });
    expect(pushing.registration).not.toBeNull();
    expect(recall(memory, "push")).toBe(ID);
  });

  test("ends it in the browser and at the hub", async () => {
    const { pushing, browser, asked, memory } = make();
    await pushing.look();
    await pushing.switchOn();
    await pushing.switchOff();
    expect(pushing.getStanding()).toEqual({ state: "off", trouble: "" });
    expect(browser.unsubscribed).toBe(1);
    expect(asked().at(-1)).toBe(`DELETE push/subscriptions/${ID}`);
    expect(pushing.registration).toBeNull();
    expect(recall(memory, "push")).toBeNull();
  });

  test("that was on renews the subscription with each page, as its token is another", async () => {
    const browser = new FakeBrowser();
    const memory = pageMemory();
    const first = make({}, browser, memory);
    await first.pushing.look();
    await first.pushing.switchOn();
    const next = make({}, browser, memory);
    await next.pushing.look();
    expect(next.pushing.getStanding().state).toBe("on");
    expect(next.asked()).toEqual(["GET push", "POST push/subscriptions"]);
    expect(browser.subscribed).toEqual([KEY]);
    await next.pushing.look();
    expect(next.asked()).toHaveLength(2);
  });

  test.each([0, 503])("stays on where it can't be renewed just now: %i", async (status) => {
    const browser = new FakeBrowser();
    const memory = pageMemory();
    const first = make({}, browser, memory);
    await first.pushing.look();
    await first.pushing.switchOn();
    const answer = status === 0 ? "away" : status;
    const next = make({ "POST push/subscriptions": answer }, browser, memory);
    await next.pushing.look();
    expect(next.pushing.getStanding().state).toBe("on");
    expect(next.pushing.getStanding().trouble).toContain("The hub takes no subscription: ");
    expect(browser.unsubscribed).toBe(0);
    expect(recall(memory, "push")).toBe(ID);
  });

  test("subscribes anew where the hub has another key", async () => {
    const browser = new FakeBrowser();
    browser.have(new Uint8Array([4, 1, 2]).buffer);
    const { pushing } = make({}, browser);
    await pushing.look();
    await pushing.switchOn();
    expect(browser.unsubscribed).toBe(1);
    expect(browser.subscribed).toEqual([KEY]);
  });
});

describe("what goes wrong is told:", () => {
  test.each(["denied", "default"] as const)("a permission that is %s", async (permission) => {
    const { pushing, browser, asked } = make();
    browser.permission = permission;
    await pushing.look();
    await pushing.switchOn();
    expect(pushing.getStanding().state).toBe("off");
    expect(pushing.getStanding().trouble).toContain("does not let this page notify");
    expect(asked()).toEqual(["GET push"]);
  });

  test("a push service that is out of reach", async () => {
    const { pushing, browser } = make();
    browser.complaint = new DOMException("push service error", "AbortError");
    await pushing.look();
    await pushing.switchOn();
    expect(pushing.getStanding()).toEqual({
      state: "off",
      trouble: "The browser's push service takes no subscription: push service error.",
    });
    browser.complaint = new DOMException("", "NotAllowedError");
    await pushing.switchOn();
    expect(pushing.getStanding().trouble).toContain("does not let this page notify");
  });

  test.each([429, 503])("a hub that refuses, and no browser stays so: %i", async (status) => {
    const { pushing, browser, memory } = make({ "POST push/subscriptions": status });
    await pushing.look();
    await pushing.switchOn();
    expect(pushing.getStanding()).toEqual({
      state: "off",
      trouble: `The hub takes no subscription: answer ${status}.`,
    });
    expect(browser.unsubscribed).toBe(1);
    expect(recall(memory, "push")).toBeNull();
  });

  test("a hub that could not be told of the end", async () => {
    const { pushing, browser, answers } = make();
    await pushing.look();
    await pushing.switchOn();
    answers.table[`DELETE push/subscriptions/${ID}`] = "away";
    await pushing.switchOff();
    expect(pushing.getStanding().state).toBe("off");
    expect(pushing.getStanding().trouble).toContain("The hub could not be told");
    expect(browser.unsubscribed).toBe(1);
  });
});

describe("whoever leaves", () => {
  test("takes the subscription along; what the hub has forgotten is no trouble", async () => {
    const { pushing, browser, asked, answers } = make();
    await pushing.look();
    await pushing.switchOn();
    answers.table[`DELETE push/subscriptions/${ID}`] = 404;
    await pushing.leave();
    expect(browser.unsubscribed).toBe(1);
    expect(asked().at(-1)).toBe(`DELETE push/subscriptions/${ID}`);
  });

  test("asks nobody where there is none", async () => {
    const { pushing, asked } = make();
    await pushing.leave();
    expect(asked()).toEqual([]);
  });

  test("does not wait for a browser that hangs", async () => {
    vi.useFakeTimers();
    const browser = new FakeBrowser();
    browser.pushManager.getSubscription = () => new Promise(() => {});
    const memory = pageMemory();
    remember(memory, "push", ID);
    const { pushing } = make({}, browser, memory);
    const left = vi.fn();
    void pushing.leave().then(left);
    await vi.advanceTimersByTimeAsync(1999);
    expect(left).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(left).toHaveBeenCalled();
    vi.useRealTimers();
  });
});
