// The protocol tapecast.v1 from a viewer's side (docs/protocol.md). Knows nothing of the page.
//
// Rules:
// 1. A channel's position moves only by a snapshot, or by an update that follows it.
// 2. An update that does not follow, or a head in a heartbeat that was not reached, is a hole: the
//    channel is subscribed again with `since`, and nothing is shown until the hub has answered.
// 3. A connection that ended is opened again with full jitter where its code says so, and every
//    channel resumes from its position.

const SUBPROTOCOL = "tapecast.v1";
const INTERVAL_MS = 100;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
const SILENT_HEARTBEATS = 2.5;
const RECONNECT = new Set([1001, 1006, 1011, 1012, 1013]);
const ABNORMAL = 1006;
export const UNAUTHORIZED = 4401;

/** Whether a close with this code is worth the same connection again. */
export function shouldReconnect(code) {
  return RECONNECT.has(code) || (code >= 4500 && code <= 4599);
}

class Subscription {
  constructor(channel) {
    this.channel = channel;
    this.position = null;
    this.asking = null; // the id of the subscribe that is not answered yet
  }
}

/**
 * One viewer's connection to a hub, kept open. The listener's methods:
 *   connection(state, {code, reason, retryAt})  "connecting", "open", "waiting" or "ended"
 *   subscribed(channel, {kind, stale, recovered, resumed})
 *   snapshot(channel, frame), update(channel, frame), channelState(channel, state, since, kind)
 *   refused(channel, error)
 *   latency(milliseconds)
 */
export class HubClient {
  #url; #token; #listener;
  #socket = null;
  #subscriptions = new Map();
  #replies = new Map();
  #lastId = 0;
  #attempt = 0;
  #retryTimer = 0;
  #watch = 0;
  #heartbeatMs = 5000;
  #heardAt = 0;
  frames = 0;
  skewMs = 0; // this machine's clock minus the hub's

  constructor(url, token, listener) {
    this.#url = url;
    this.#token = token;
    this.#listener = listener;
  }

  start() {
    this.#watch = setInterval(() => this.#dropIfSilent(), 1000);
    this.#open();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retryTimer);
    this.#detach()?.close(1000);
  }

  /** Follow a channel from now on; a second call does nothing. */
  follow(channel) {
    if (this.#subscriptions.has(channel)) return;
    const subscription = new Subscription(channel);
    this.#subscriptions.set(channel, subscription);
    if (this.#isOpen) this.#subscribe(subscription);
  }

  /** Try again at once, where a delay is running: the network came back, the page is seen again. */
  hurry() {
    if (this.#socket === null && this.#retryTimer) this.#open();
  }

  get #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // The connection

  #open() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#listener.connection("connecting", {});
    const socket = new WebSocket(this.#url, [SUBPROTOCOL, `bearer.${this.#token}`]);
    this.#socket = socket;
    this.#heardAt = performance.now();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#ended(event.code, event.reason);
  }

  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    this.#replies.clear();
    if (socket !== null) socket.onmessage = socket.onclose = null;
    return socket;
  }

  #ended(code, reason) {
    this.#detach();
    for (const subscription of this.#subscriptions.values()) subscription.asking = null;
    if (!shouldReconnect(code)) {
      clearInterval(this.#watch);
      this.#listener.connection("ended", { code, reason });
      return;
    }
    const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    const delay = Math.random() * longest;
    this.#retryTimer = setTimeout(() => this.#open(), delay);
    this.#listener.connection("waiting", { code, reason, retryAt: Date.now() + delay });
  }

  #dropIfSilent() {
    if (this.#socket === null) return;
    if (performance.now() - this.#heardAt > SILENT_HEARTBEATS * this.#heartbeatMs) {
      // A dead link would take its time to say so.
      this.#socket.close();
      this.#ended(ABNORMAL, "nothing was heard");
    }
  }

  // What is said

  #send(method, params, answered) {
    const id = (this.#lastId += 1);
    this.#replies.set(id, answered);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return id;
  }

  #subscribe(subscription) {
    if (subscription.asking !== null) return;
    const { channel, position } = subscription;
    const params = { channel, interval_ms: INTERVAL_MS };
    if (position !== null) params.since = position;
    subscription.asking = this.#send("subscribe", params, (reply) => {
      subscription.asking = null;
      this.#subscribed(subscription, reply, position !== null);
    });
  }

  #measure() {
    const began = performance.now();
    this.#send("ping", {}, () => this.#listener.latency(performance.now() - began));
  }

  // What is heard

  #receive(text) {
    this.#heardAt = performance.now();
    this.frames += 1;
    const frame = JSON.parse(text);
    if (frame.type === undefined) {
      this.#answered(frame);
      return;
    }
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "heartbeat":
        this.skewMs = Date.now() - frame.ts / 1000;
        this.#compareHeads(frame.heads);
        this.#measure();
        break;
      case "snapshot":
      case "update":
      case "channel":
        this.#hear(frame);
        break;
      default:
      // Types to come are none of this page's business.
    }
  }

  #welcome(frame) {
    this.#heartbeatMs = frame.heartbeat_ms;
    this.#listener.connection("open", {});
    for (const subscription of this.#subscriptions.values()) this.#subscribe(subscription);
    this.#measure();
  }

  #answered(reply) {
    const answered = this.#replies.get(reply.id);
    this.#replies.delete(reply.id);
    answered?.(reply);
  }

  #subscribed(subscription, { result, error }, resumed) {
    if (error !== undefined) {
      this.#listener.refused(subscription.channel, error);
      // Forgotten, so that whoever still wants the channel follows it anew.
      if (error.retry) this.#subscriptions.delete(subscription.channel);
      return;
    }
    // Only an answer to a command shows that the token was taken.
    this.#attempt = 0;
    if (!result.recovered) subscription.position = null;
    this.#listener.subscribed(subscription.channel, { ...result, resumed });
  }

  #hear(frame) {
    const subscription = this.#subscriptions.get(frame.channel);
    if (subscription === undefined) return;
    const { channel } = frame;
    if (frame.type === "channel") {
      this.#listener.channelState(channel, frame.state, frame.since, frame.kind);
    } else if (frame.type === "snapshot") {
      subscription.position = { epoch: frame.epoch, seq: frame.seq, tag: frame.tag };
      this.#listener.snapshot(channel, frame);
    } else if (frame.seq === undefined) {
      // Published by hand: live only, without a position.
      this.#listener.update(channel, frame);
    } else {
      this.#step(subscription, frame);
    }
  }

  #step(subscription, frame) {
    const at = subscription.position;
    if (at === null) return; // the snapshot is on its way
    const sameHistory = frame.epoch === at.epoch || (at.epoch === "" && at.seq === 0);
    if (sameHistory && frame.seq <= at.seq) return;
    const follows = frame.prev === undefined ? frame.seq === at.seq + 1 : frame.prev <= at.seq;
    if (!sameHistory || !follows) {
      this.#subscribe(subscription);
      return;
    }
    subscription.position = { epoch: frame.epoch, seq: frame.seq, tag: frame.tag };
    this.#listener.update(subscription.channel, frame);
  }

  #compareHeads(heads) {
    for (const [channel, seq] of Object.entries(heads)) {
      const subscription = this.#subscriptions.get(channel);
      if (subscription?.position && seq > subscription.position.seq) this.#subscribe(subscription);
    }
  }
}
