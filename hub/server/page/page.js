// The page: signs in, finds the channels, follows all of them and keeps what is on the screen true.

import { Channel } from "./channels.js";
import { HubClient, UNAUTHORIZED } from "./client.js";
import { setText } from "./dom.js";
import { asClock, asDuration } from "./format.js";
import { makePanel, orderOf } from "./panels.js";

const TOKEN_KEY = "tapecast.token";
const LIST_EVERY_MS = 4000;
const HTTP_UNAUTHORIZED = 401;

const $ = (id) => document.getElementById(id);

/** Everything that is shown to somebody who is signed in. */
class Board {
  #token;
  #client;
  #signOut;
  #channels = new Map();
  #panels = new Map();
  #refusals = new Map(); // channels that the hub would not serve
  #dirty = new Set();
  #frameAsked = false;
  #timers = [];
  #connection = { state: "connecting" };
  #heardAt = null; // when the hub was last there, null while it is
  #framesBefore = 0;
  #rate = 0;

  /** signOut(reason): the hub does not take the token any more. */
  constructor(token, signOut) {
    this.#token = token;
    this.#signOut = signOut;
    const url = new URL("../ws", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.#client = new HubClient(url.href, token, this);
  }

  start() {
    this.#client.start();
    this.#list();
    this.#timers = [
      setInterval(() => this.#list(), LIST_EVERY_MS),
      setInterval(() => this.#tick(), 1000),
    ];
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
  }

  stop() {
    this.#client.stop();
    this.#timers.forEach(clearInterval);
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    $("wide").replaceChildren();
    $("narrow").replaceChildren();
    $("banner").hidden = true;
  }

  #hurry = () => {
    if (document.visibilityState === "visible") this.#client.hurry();
  };

  // Which channels there are

  async #list() {
    if (document.visibilityState === "hidden" && this.#channels.size) return;
    let response;
    try {
      response = await fetch("../api/v1/channels", {
        headers: { Authorization: `Bearer ${this.#token}` },
        cache: "no-store",
      });
    } catch {
      return; // the connection's own state says that the hub is away
    }
    if (response.status === HTTP_UNAUTHORIZED) {
      const { error } = await response.json();
      this.#signOut(error.message);
    } else if (response.ok) {
      const { channels } = await response.json();
      for (const { name } of channels) this.#client.follow(name);
      $("empty").hidden = channels.length !== 0;
    }
  }

  #panelOf(name, kind) {
    let channel = this.#channels.get(name);
    if (channel !== undefined && channel.kind === kind) return channel;
    this.#panels.get(name)?.element.remove();
    channel = new Channel(name, kind);
    this.#channels.set(name, channel);
    this.#place(makePanel(channel));
    return channel;
  }

  #place(panel) {
    const order = orderOf(panel.channel);
    panel.element.dataset.order = order;
    const column = $(panel.wide ? "wide" : "narrow");
    const after = [...column.children].find((other) => other.dataset.order > order) ?? null;
    column.insertBefore(panel.element, after);
    this.#panels.set(panel.channel.name, panel);
  }

  // What the client says

  connection(state, details) {
    this.#connection = { state, ...details };
    if (state === "open") this.#heardAt = null;
    else if (state !== "connecting") this.#heardAt ??= this.#now();
    if (state === "open") this.#list();
    if (state === "ended" && details.code === UNAUTHORIZED) this.#signOut(details.reason);
    else this.#tick();
  }

  latency(milliseconds) {
    setText($("latency"), `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`);
  }

  subscribed(name, { kind, stale, recovered, resumed }) {
    const channel = this.#panelOf(name, kind);
    channel.stale = stale;
    channel.error = null;
    this.#refusals.delete(name);
    if (resumed && !recovered) channel.startedOver = this.#now();
    this.#changed(name);
  }

  snapshot(name, frame) {
    this.#channels.get(name).snapshot(frame);
    this.#changed(name);
  }

  update(name, frame) {
    this.#channels.get(name)?.update(frame);
    this.#changed(name);
  }

  channelState(name, state, since, kind) {
    let channel = this.#channels.get(name);
    if (channel === undefined) return;
    if (state === "reset") {
      channel = this.#panelOf(name, kind);
      channel.startedOver = since / 1000;
    } else channel.stale = state === "stale";
    this.#changed(name);
  }

  refused(name, error) {
    const channel = this.#channels.get(name);
    if (channel !== undefined) channel.error = error;
    else this.#refusals.set(name, error);
    this.#changed(name);
  }

  // Showing it

  #changed(name) {
    this.#dirty.add(name);
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#frameAsked = false;
    for (const name of this.#dirty) {
      const panel = this.#panels.get(name);
      panel?.render();
      panel?.showAge(this.#now(), this.#heardAt);
    }
    this.#dirty.clear();
    this.#showMode();
    this.#showBanner();
  }

  #tick() {
    const now = this.#now();
    for (const panel of this.#panels.values()) panel.showAge(now, this.#heardAt);
    this.#showConnection();
    this.#showRate();
    this.#showBanner();
  }

  /** The hub's clock: what frames are stamped with. */
  #now() {
    return Date.now() - this.#client.skewMs;
  }

  #showConnection() {
    const { state, retryAt, reason } = this.#connection;
    const texts = {
      connecting: "Connecting",
      open: "Connected",
      waiting: `Reconnecting in ${asDuration((retryAt ?? 0) - Date.now() + 999)}`,
      ended: "Disconnected",
    };
    $("link").dataset.state = state;
    $("link").title = reason ?? "";
    setText($("link-text"), texts[state]);
    if (state !== "open") setText($("latency"), "–");
  }

  #showRate() {
    const { frames } = this.#client;
    this.#rate = 0.6 * this.#rate + 0.4 * (frames - this.#framesBefore);
    this.#framesBefore = frames;
    setText($("rate"), `${this.#rate.toFixed(1)}/s`);
  }

  #showMode() {
    const modes = new Set();
    for (const { stream, kind, state } of this.#channels.values()) {
      if (stream === "portfolio" && kind === "value" && state.value?.mode) {
        modes.add(String(state.value.mode));
      }
    }
    const mode = [...modes].sort().join(" + ");
    setText($("mode"), mode || "no account");
    $("mode").dataset.mode = modes.has("live") ? "live" : mode;
  }

  #showBanner() {
    const said = [];
    const { state, code, reason } = this.#connection;
    const stale = [...this.#channels.values()].filter((channel) => channel.stale);
    if (state === "ended") {
      said.push(`The hub closed the connection (${code}${reason ? `: ${reason}` : ""}). Reload to try again.`);
    } else if (this.#heardAt !== null) {
      said.push(`Not connected: the numbers below are as of ${asClock(this.#heardAt)}.`);
    }
    if (stale.length) {
      const names = stale.map(({ name }) => name).sort().join(", ");
      said.push(`No word from the producer of ${names}.`);
    }
    for (const [name, { message }] of this.#refusals) said.push(`${name}: ${message}.`);
    setText($("banner"), said.join(" "));
    $("banner").hidden = said.length === 0;
  }
}

let board = null;

function signIn(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
  $("door").hidden = true;
  $("bar").hidden = $("board").hidden = false;
  board = new Board(token, signOut);
  board.start();
}

/** Back to the door; `reason` is why, "" where somebody wanted to. */
function signOut(reason) {
  if (board === null) return;
  board.stop();
  board = null;
  sessionStorage.removeItem(TOKEN_KEY);
  $("bar").hidden = $("board").hidden = true;
  $("door").hidden = false;
  setText($("refusal"), reason && `The hub does not take this token: ${reason}.`);
  $("token").value = "";
  $("token").focus();
}

/** The token of `#token=...`, which leaves the address, and with it the history, at once. */
function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  setText($("refusal"), token ? "" : "Enter a token.");
  if (token) signIn(token);
});
$("sign-out").addEventListener("click", () => signOut(""));
addEventListener("hashchange", () => {
  const token = tokenOfAddress();
  if (token) {
    signOut("");
    signIn(token);
  }
});

const token = tokenOfAddress() || sessionStorage.getItem(TOKEN_KEY);
if (token) signIn(token);
else $("token").focus();
