// Logs of events, newest first, a line each: the agent's, alerts, and any log that is no other's.

import { el, KeyedChildren } from "./dom.js";
import { asClock, asText } from "./format.js";
import { badge, Panel, TONES } from "./panel.js";

const SHOWN = 150;

const SUMMARIES = {
  state_transition: ({ from_state: from, to_state: to, reason }) =>
    `${from} → ${to}${reason ? `: ${reason}` : ""}`,
  decision_made: ({ action, asset_pair: pair, confidence }) =>
    `${action} ${pair}${typeof confidence === "number" ? ` at ${Math.round(confidence)} %` : ""}`,
  order_updated: ({ action, size, filled, asset_pair: pair, status }) =>
    `${action} ${size ?? "?"} ${pair} ${status}, ${filled ?? "?"} filled`,
  trade_executed: ({ action, size, asset_pair: pair, price, realized_pnl: pnl }) =>
    `${action} ${size} ${pair} at ${price}${typeof pnl === "string" ? `, realized ${pnl}` : ""}`,
  position_opened: summarisePosition,
  position_updated: summarisePosition,
  position_closed: summarisePosition,
  error: ({ component, detail }) => `${component}: ${detail}`,
  alert: ({ title, detail }) => (detail ? `${title}: ${detail}` : title),
};
const EVENT_TONES = {
  trade_executed: "done", position_opened: "gain", position_closed: "plain", error: "loss",
  alert: "warn",
};
const QUIET = new Set(["position_updated"]);

function summarisePosition({ asset_pair: pair, side, size, unrealized_pnl: pnl }) {
  return `${pair} ${side} ${size}${typeof pnl === "string" ? `, P&L ${pnl}` : ""}`;
}

function summarise({ event, data }) {
  const summary = SUMMARIES[event];
  const plain = data !== null && typeof data === "object" && !Array.isArray(data);
  return summary && plain ? summary(data) : asText(data);
}

export class EventsPanel extends Panel {
  #hidden = new Set(QUIET);
  #filters = el("div", { class: "filters", role: "group", "aria-label": "Events shown" });
  #buttons;
  #lines;
  #list;
  #none = el("p", { class: "none" }, "Nothing yet");
  #shown = new Map(); // entries by number, newest first

  constructor(channel, title, { live = "off" } = {}) {
    super(channel, title);
    this.#list = el("ol", {
      class: "feed lines", tabindex: "0", role: "log", "aria-live": live,
      "aria-label": `${title}, newest first`,
    });
    this.#buttons = new KeyedChildren(this.#filters, (event) => this.#makeFilter(event));
    this.#lines = new KeyedChildren(this.#list, (number) => this.#makeLine(number));
    this.body.append(this.#filters, this.#list, this.#none);
  }

  render() {
    const { entries } = this.channel.state;
    const events = [...new Set(entries.map(({ event }) => event))].sort();
    this.#filters.hidden = events.length < 2;
    for (const [event, { element }] of this.#buttons.show(events)) {
      element.setAttribute("aria-pressed", String(!this.#hidden.has(event)));
    }
    this.#shown = new Map();
    for (let i = entries.length - 1; i >= 0 && this.#shown.size < SHOWN; i -= 1) {
      const entry = entries[i];
      if (!this.#hidden.has(entry.event)) this.#shown.set(entry.number, entry);
    }
    this.#lines.show(this.#shown.keys());
    this.#none.hidden = this.#shown.size !== 0;
    this.#list.hidden = this.#shown.size === 0;
  }

  #makeLine(number) {
    const entry = this.#shown.get(number);
    const tone = TONES[entry.data?.severity] ?? EVENT_TONES[entry.event] ?? "plain";
    const element = el(
      "li",
      {},
      el("time", {}, asClock(entry.ts / 1000)),
      badge(entry.event.replace(/_/g, " "), tone),
      el("span", { class: "summary" }, summarise(entry)),
    );
    return { element };
  }

  #makeFilter(event) {
    const element = el("button", { type: "button", class: "filter" }, event.replace(/_/g, " "));
    element.addEventListener("click", () => {
      if (!this.#hidden.delete(event)) this.#hidden.add(event);
      this.render();
    });
    return { element };
  }
}
