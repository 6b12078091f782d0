// Alerts while the page is closed: this browser's subscription, made and kept at the hub.

import { forget, type Memory, recall, remember } from "../data/memory.ts";
import { fields, text } from "../data/reading.ts";
import { type Api, ApiError } from "../session/api.ts";
import { browserGround, type Ground } from "./ground.ts";

/** none: not offered here, or not looked yet. */
export type PushState = "none" | "off" | "busy" | "on";

export interface PushStanding {
  readonly state: PushState;
  /** What went wrong, for whoever reads it. */
  readonly trouble: string;
}

/** What this browser remembers: the hub's id of its subscription. */
const MARK = "push";
const LEAVING_MS = 2000;
const GONE = 404;

const DENIED =
  "Your browser does not let this page notify: allow notifications in its settings for this site.";

/** Something that is told as it is. */
class Trouble extends Error {
  /** Whether what was there before is not harmed by it. */
  readonly mayPass: boolean;

  constructor(message: string, mayPass = false) {
    super(message);
    this.mayPass = mayPass;
  }
}

export interface PushingOptions {
  readonly api: Api;
  readonly memory: Memory;
  /** The channels whose alerts are told of. */
  readonly channels: () => readonly string[];
  readonly ground?: Ground;
}

export class Pushing {
  standing: PushStanding = { state: "none", trouble: "" };
  /** Through which the page notifies too, so that an alert is shown once; null while it is off. */
  registration: ServiceWorkerRegistration | null = null;
  #api: Api;
  #memory: Memory;
  #channels: () => readonly string[];
  #ground: Ground;
  #publicKey = "";
  #listeners = new Set<() => void>();

  constructor({ api, memory, channels, ground = browserGround }: PushingOptions) {
    this.#api = api;
    this.#memory = memory;
    this.#channels = channels;
    this.#ground = ground;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getStanding = (): PushStanding => this.standing;

  /** See what the hub offers; a subscription that this browser has is renewed. */
  async look(): Promise<void> {
    if (this.standing.state !== "none" || !this.#ground.isThere) return;
    const isKept = recall(this.#memory, MARK) !== null;
    this.#move("busy");
    try {
      const answer = fields(await this.#api.ask("push"));
      this.#publicKey = (answer.on === true && text(answer.public_key)) || "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // A hub that can't be asked offers nothing; it is asked again with the next page.
      this.#publicKey = "";
    }
    if (this.#publicKey === "") this.#move("none");
    else if (isKept) await this.switchOn();
    else this.#move("off");
  }

  /** Have this browser told of alerts. */
  async switchOn(): Promise<void> {
    this.#move("busy");
    try {
      if ((await this.#ground.permit()) !== "granted") throw new Trouble(DENIED);
      const registration = await attempt(
        "The browser can't install what shows alerts",
        this.#ground.register(),
      );
      const subscription = await this.#subscription(registration);
      this.registration = registration;
      await this.#hand(subscription);
      this.#move("on");
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      if (error.mayPass && recall(this.#memory, MARK) !== null) {
        this.#move("on", error.message);
        return;
      }
      this.registration = null;
      forget(this.#memory, MARK);
      this.#move("off", error.message);
    }
  }

  /** Have it told no more. */
  async switchOff(): Promise<void> {
    this.#move("busy");
    const trouble = await this.#withdraw();
    this.#move("off", trouble);
  }

  /** Whoever was logged in leaves: their alerts must not be shown to the next. */
  async leave(): Promise<void> {
    if (recall(this.#memory, MARK) === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LEAVING_MS);
    });
    await Promise.race([this.#withdraw(), late]);
    clearTimeout(timer);
  }

  /** The browser's subscription with the hub's key, made where it has none. */
  async #subscription({ pushManager }: ServiceWorkerRegistration): Promise<PushSubscription> {
    const otherwise = "The browser's push service takes no subscription";
    const kept = await attempt(otherwise, pushManager.getSubscription());
    if (kept !== null) {
      if (base64url(kept.options.applicationServerKey) === this.#publicKey) return kept;
      // One that was made with another key can't be pushed to with this one.
      await attempt(otherwise, kept.unsubscribe());
    }
    const options = { userVisibleOnly: true, applicationServerKey: this.#publicKey };
    return attempt(otherwise, pushManager.subscribe(options));
  }

  async #hand(subscription: PushSubscription): Promise<void> {
    const { endpoint, keys } = subscription.toJSON();
    const body = { endpoint, keys, channels: this.#channels(), public_key: this.#publicKey };
    try {
      const answer = await this.#api.ask("push/subscriptions", { method: "POST", body });
      remember(this.#memory, MARK, text(fields(answer).id) ?? "");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { status, message } = error;
      const mayPass = status === 0 || status >= 500;
      // What was handed over before lasts until its token ends; nobody would push to another.
      if (!mayPass || recall(this.#memory, MARK) === null) await subscription.unsubscribe();
      throw new Trouble(`The hub takes no subscription: ${message}.`, mayPass);
    }
  }

  /** End the subscription, here and at the hub; what went wrong there. */
  async #withdraw(): Promise<string> {
    const id = recall(this.#memory, MARK);
    forget(this.#memory, MARK);
    this.registration = null;
    let trouble = "";
    try {
      // First in the browser: from then on nothing is shown, whatever the hub does.
      await attempt("The browser keeps its subscription", this.#unsubscribe());
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      trouble = error.message;
    }
    if (id === null) return trouble;
    try {
      await this.#api.ask(`push/subscriptions/${id}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== GONE) trouble = `The hub could not be told: ${error.message}.`;
    }
    return trouble;
  }

  async #unsubscribe(): Promise<void> {
    const registration = await this.#ground.registration();
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
  }

  #move(state: PushState, trouble = ""): void {
    this.standing = { state, trouble };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What a browser does, or why it does not: in its own words, which name the cause. */
async function attempt<T>(otherwise: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotAllowedError") {
      throw new Trouble(DENIED);
    }
    throw new Trouble(`${otherwise}: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

function base64url(content: ArrayBuffer | null): string {
  if (content === null) return "";
  const letters = btoa(String.fromCharCode(...new Uint8Array(content)));
  return letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
