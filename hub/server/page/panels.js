// How each stream is shown. A panel is made once for a channel, and `render` brings it up to date;
// a channel of a stream that has no panel of its own is shown by its kind.

import { el, Figure, flash, KeyedChildren, setText, Sparkline } from "./dom.js";
import { asDuration, asClock, asMoment, asText, asTitle, readDecimal } from "./format.js";

const DECISIONS_SHOWN = 60;
const EVENTS_SHOWN = 150;
const LONG_REASONING = 220;

/** The frame that all panels share: title, channel, freshness. */
class Panel {
  wide = false;
  #age = el("span", { class: "age" });
  #startedOver = el("span", {
    class: "badge warn",
    title: "The history was lost or left behind: what is shown does not continue what was shown.",
  });
  #error = el("p", { class: "refusal" });

  constructor(channel, title) {
    this.channel = channel;
    this.body = el("div", { class: "body" });
    this.tools = el("div", { class: "tools" });
    const heading = el("h2", {}, title);
    if (channel.key) heading.append(" ", el("span", { class: "key" }, channel.key));
    this.element = el(
      "section",
      { class: "card", "aria-label": channel.name, "data-channel": channel.name },
      el("header", {}, heading, this.tools, this.#startedOver, this.#age),
      this.#error,
      this.body,
    );
  }

  /** Say how old the numbers are; `lost` is when the hub was last heard, null where it is there. */
  showAge(now, lost) {
    const { channel } = this;
    const old = channel.stale || lost !== null;
    this.element.classList.toggle("stale", old);
    setText(this.#error, channel.error ? channel.error.message : "");
    setText(
      this.#startedOver,
      channel.startedOver ? `started over at ${asMoment(channel.startedOver)}` : "",
    );
    if (!channel.ts) {
      setText(this.#age, "nothing yet");
    } else if (old) {
      const word = channel.stale ? "stale" : "not connected";
      setText(this.#age, `${word}, as of ${asMoment(channel.stale ? channel.ts : lost)}`);
    } else {
      const age = now - channel.ts;
      setText(this.#age, age < 2000 ? "changed just now" : `changed ${asDuration(age)} ago`);
    }
    this.#age.title = channel.ts ? `Newest entry at ${asMoment(channel.ts)}` : "";
  }
}

/** A labelled figure or text in a grid of them. */
function tile(label, options) {
  const value = el("dd");
  const element = el("div", { class: "tile" }, el("dt", {}, label), value);
  return { element, figure: new Figure(value, options) };
}

function badge(text, tone) {
  return el("span", { class: `badge ${tone}` }, text);
}

const TONES = {
  BUY: "gain", LONG: "gain", SELL: "loss", SHORT: "loss",
  RUNNING: "gain", STARTING: "warn", PAUSED: "warn", STOPPED: "loss", FAILED: "loss",
  ok: "gain", degraded: "warn", down: "loss",
  closed: "gain", half_open: "warn", open: "loss",
  info: "plain", warning: "warn", critical: "loss",
};

/** A badge whose text and tone follow a word. */
class WordBadge {
  element = badge("–", "plain");

  set(word) {
    const text = asText(word);
    setText(this.element, text.replace(/_/g, " "));
    this.element.className = `badge ${TONES[text] ?? "plain"}`;
  }
}

// Portfolio

const AMOUNTS = [
  ["balance", "Balance", {}],
  ["available", "Available", {}],
  ["exposure", "Exposure", {}],
  ["unrealized_pnl", "Unrealized P&L", { signed: true }],
  ["realized_pnl", "Realized P&L", { signed: true }],
  ["positions_count", "Positions", {}],
];

class PortfolioPanel extends Panel {
  wide = true;
  #equity = new Figure(el("span", { class: "equity" }));
  #currency = el("span", { class: "currency" });
  #platform = el("span", { class: "badge plain" });
  #course = new Sparkline("Equity since this page was opened");
  #tiles = new Map();
  #drawn = null;

  constructor(channel) {
    super(channel, "Portfolio");
    const grid = el("dl", { class: "tiles" });
    for (const [name, label, options] of AMOUNTS) {
      const { element, figure } = tile(label, options);
      this.#tiles.set(name, figure);
      grid.append(element);
    }
    this.tools.append(this.#platform);
    const figures = el("p", { class: "headline" }, this.#equity.element, this.#currency);
    const head = el("div", {}, el("p", { class: "label" }, "Equity"), figures);
    this.body.append(el("div", { class: "hero" }, head, this.#course.element), grid);
  }

  render() {
    const portfolio = this.channel.state.value ?? {};
    this.#equity.set(portfolio.equity);
    setText(this.#currency, portfolio.currency ?? "");
    setText(this.#platform, portfolio.platform ?? "");
    for (const [name, figure] of this.#tiles) figure.set(portfolio[name]);
    if (portfolio.equity !== undefined && portfolio.equity !== this.#drawn) {
      this.#drawn = portfolio.equity;
      this.#course.add(portfolio.equity);
    }
  }
}

// Tables

// as: how the cell is shown, a figure by default. spare: left out where there is no room.
const POSITION_COLUMNS = [
  { name: "asset_pair", title: "Pair", as: "strong" },
  { name: "side", title: "Side", as: "badge" },
  { name: "size", title: "Size", whole: true },
  { name: "entry_price", title: "Entry", whole: true, spare: true },
  { name: "current_price", title: "Price", whole: true },
  { name: "unrealized_pnl", title: "P&L", signed: true },
  { name: "unrealized_pnl_pct", title: "P&L %", signed: true, suffix: " %" },
  { name: "margin_used", title: "Margin", spare: true },
  { name: "opened_at", title: "Opened", as: "time", spare: true },
];

function cellClass(as, spare) {
  return `as-${as}${spare ? " spare" : ""}`;
}

class Cell {
  #set;

  constructor({ as = "figure", signed, suffix, whole, spare }) {
    this.element = el("td", { class: cellClass(as, spare) });
    const set = { badge: Cell.#badge, time: Cell.#time, strong: Cell.#text, text: Cell.#text }[as];
    this.#set = set ? set(this.element) : Cell.#figure(this.element, { signed, suffix, whole });
  }

  set(value) {
    this.#set(value);
  }

  static #badge(element) {
    const word = new WordBadge();
    element.append(word.element);
    return (value) => word.set(value);
  }

  static #time(element) {
    return (value) => {
      const at = Date.parse(value);
      setText(element, Number.isNaN(at) ? asText(value) : asMoment(at));
    };
  }

  static #text(element) {
    return (value) => setText(element, asText(value));
  }

  static #figure(element, options) {
    const figure = new Figure(element, options);
    return (value) => figure.set(value);
  }
}

class TablePanel extends Panel {
  wide = true;
  #columns = null;
  #fixed;
  #count = el("span", { class: "badge plain" });
  #head = el("tr");
  #table;
  #none = el("p", { class: "none" });
  #rows;
  #shown = new Map();

  constructor(channel, title, { columns = null, none = "No rows" } = {}) {
    super(channel, title);
    this.#fixed = columns;
    const body = el("tbody");
    this.#table = el("table", {}, el("thead", {}, this.#head), body);
    this.#rows = new KeyedChildren(body, () => this.#makeRow());
    this.#none.textContent = none;
    this.tools.append(this.#count);
    const scroller = { class: "scroll", tabindex: "0", role: "group", "aria-label": title };
    this.body.append(el("div", scroller, this.#table), this.#none);
  }

  render() {
    const { rows } = this.channel.state;
    this.#arrange(this.#fixed ?? columnsOf(rows));
    setText(this.#count, String(rows.size));
    this.#table.hidden = rows.size === 0;
    this.#none.hidden = rows.size !== 0;
    const keys = [...rows.keys()].sort();
    const known = this.#shown;
    this.#shown = new Map();
    for (const [key, row] of this.#rows.show(keys)) {
      const given = rows.get(key);
      this.#shown.set(key, given);
      if (known.get(key) === given) continue;
      for (const [name, cell] of row.cells) cell.set(name === null ? key : given?.[name]);
      if (!known.has(key) && known.size) flash(row.element, "new");
    }
  }

  #arrange(columns) {
    const same = columns.map(({ title }) => title).join("\n");
    if (this.#columns?.same === same) return;
    this.#columns = { same, columns };
    this.#head.replaceChildren(
      ...columns.map(({ title, as = "figure", spare }) =>
        el("th", { scope: "col", class: cellClass(as, spare) }, title),
      ),
    );
    // Other columns: every row is made anew.
    this.#rows.show([]);
    this.#shown.clear();
  }

  #makeRow() {
    const cells = this.#columns.columns.map((column) => [column.name, new Cell(column)]);
    return { element: el("tr", {}, ...cells.map(([, cell]) => cell.element)), cells };
  }
}

/** The columns of a table that nobody described: its key, and every field of its first rows. */
function columnsOf(rows) {
  const names = new Map();
  for (const row of [...rows.values()].slice(0, 50)) {
    const fields = typeof row === "object" && row !== null && !Array.isArray(row) ? row : {};
    for (const [name, value] of Object.entries(fields)) {
      const numeric = readDecimal(asText(value)) !== null;
      names.set(name, (names.get(name) ?? true) && numeric);
    }
  }
  const key = { name: null, title: "Key", as: "strong" };
  const fields = [...names].slice(0, 12);
  return [
    key,
    ...fields.map(([name, numeric]) => ({
      name, title: asTitle(name), as: numeric ? "figure" : "text",
    })),
  ];
}

// Decisions

class DecisionCard {
  #action = new WordBadge();
  #pair = el("strong");
  #time = el("time");
  #meter = el("span", {
    class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100",
    "aria-label": "Confidence",
  }, el("i"));
  #confidence = el("span", { class: "percent" });
  #reasoning = el("p", { class: "reasoning" });
  #more = el("button", { type: "button", class: "quiet more", "aria-expanded": "false" }, "more");
  #facts = el("p", { class: "facts" });
  #given = null;

  constructor() {
    const head = el("header", {}, this.#action.element, this.#pair, this.#meter,
      this.#confidence, this.#time);
    this.element = el("li", { class: "decision" }, head, this.#reasoning, this.#more, this.#facts);
    this.#more.addEventListener("click", () => {
      const open = this.element.classList.toggle("open");
      this.#more.setAttribute("aria-expanded", String(open));
      setText(this.#more, open ? "less" : "more");
    });
  }

  set(entry) {
    if (entry === this.#given) return;
    if (this.#given !== null) flash(this.element, "new");
    this.#given = entry;
    const decision = entry.data ?? {};
    this.#action.set(decision.action);
    setText(this.#pair, decision.asset_pair ?? "");
    const made = Date.parse(decision.timestamp);
    setText(this.#time, asMoment(Number.isNaN(made) ? entry.ts / 1000 : made));
    this.#showConfidence(decision.confidence);
    const reasoning = decision.reasoning ?? "";
    setText(this.#reasoning, reasoning);
    this.#more.hidden = reasoning.length < LONG_REASONING;
    this.#showFacts(decision);
  }

  #showConfidence(confidence) {
    const known = typeof confidence === "number";
    this.#meter.hidden = !known;
    setText(this.#confidence, known ? `${Math.round(confidence)} %` : "");
    if (!known) return;
    this.#meter.setAttribute("aria-valuenow", String(confidence));
    this.#meter.style.setProperty("--share", `${confidence}%`);
  }

  #showFacts({ executed, size, entry_price: price, provider }) {
    const facts = [];
    if (size !== null && size !== undefined) facts.push(`size ${asText(size)}`);
    if (price !== null && price !== undefined) facts.push(`at ${asText(price)}`);
    if (provider) facts.push(`by ${provider}`);
    this.#facts.replaceChildren(facts.join(" · "));
    if (executed) this.#facts.prepend(badge("executed", "done"), " ");
  }
}

class DecisionsPanel extends Panel {
  wide = true;
  #cards;
  #none = el("p", { class: "none" }, "No decisions yet");

  constructor(channel) {
    super(channel, "Decisions");
    const list = el("ol", { class: "feed", tabindex: "0", "aria-label": "Decisions, newest first" });
    this.#cards = new KeyedChildren(list, () => new DecisionCard());
    this.body.append(list, this.#none);
  }

  render() {
    // A decision that was updated keeps its place, and shows what it is now.
    const newest = new Map();
    for (const entry of this.channel.state.entries) {
      newest.set(entry.data?.id ?? entry.number, entry);
    }
    const keys = [...newest.keys()].reverse().slice(0, DECISIONS_SHOWN);
    for (const [key, card] of this.#cards.show(keys)) card.set(newest.get(key));
    this.#none.hidden = keys.length !== 0;
  }
}

// Logs of events

const SUMMARIES = {
  state_transition: ({ from_state: from, to_state: to, reason }) =>
    `${from} → ${to}${reason ? `: ${reason}` : ""}`,
  decision_made: ({ action, asset_pair: pair, confidence }) =>
    `${action} ${pair}${typeof confidence === "number" ? ` at ${Math.round(confidence)} %` : ""}`,
  trade_executed: ({ action, size, asset_pair: pair, price, realized_pnl: pnl }) =>
    `${action} ${size} ${pair} at ${price}, realized ${pnl}`,
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
  return `${pair} ${side} ${size}, P&L ${pnl}`;
}

function summarise({ event, data }) {
  const summary = SUMMARIES[event];
  const plain = data !== null && typeof data === "object" && !Array.isArray(data);
  return summary && plain ? summary(data) : asText(data);
}

class EventsPanel extends Panel {
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
    for (let i = entries.length - 1; i >= 0 && this.#shown.size < EVENTS_SHOWN; i -= 1) {
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

// Status and health

const OODA = ["IDLE", "PERCEPTION", "REASONING", "RISK_CHECK", "EXECUTION", "LEARNING"];

class StatusPanel extends Panel {
  #state = new WordBadge();
  #paused = badge("paused", "warn");
  #steps = new Map();
  #tiles = new Map();

  constructor(channel) {
    super(channel, "Agent");
    this.tools.append(this.#paused, this.#state.element);
    const loop = el("ol", { class: "loop", "aria-label": "OODA loop" });
    for (const step of OODA) {
      const element = el("li", {}, step.replace("_", " ").toLowerCase());
      this.#steps.set(step, element);
      loop.append(element);
    }
    const grid = el("dl", { class: "tiles" });
    for (const [name, label, options] of [
      ["uptime", "Uptime", {}],
      ["decisions", "Decisions", {}],
      ["trades", "Trades", {}],
      ["wins", "Wins", {}],
      ["losses", "Losses", {}],
      ["realized_pnl", "Realized P&L", { signed: true }],
    ]) {
      const { element, figure } = tile(label, options);
      this.#tiles.set(name, figure);
      grid.append(element);
    }
    this.body.append(loop, grid);
  }

  render() {
    const status = this.channel.state.value ?? {};
    this.#state.set(status.state);
    this.#paused.hidden = !status.paused;
    for (const [step, element] of this.#steps) {
      if (step === status.ooda_state) element.setAttribute("aria-current", "step");
      else element.removeAttribute("aria-current");
    }
    const totals = { ...status.totals };
    if (typeof status.uptime_seconds === "number") {
      totals.uptime = asDuration(status.uptime_seconds * 1000);
    }
    for (const [name, figure] of this.#tiles) figure.set(totals[name]);
  }
}

class HealthPanel extends Panel {
  #state = new WordBadge();
  #parts;
  #none = el("p", { class: "none" }, "Nothing reported");

  constructor(channel) {
    super(channel, "Health");
    this.tools.append(this.#state.element);
    const list = el("ul", { class: "parts" });
    this.#parts = new KeyedChildren(list, (name) => {
      const state = new WordBadge();
      const detail = el("span", { class: "summary" });
      const title = asTitle(name.slice(name.indexOf(" ") + 1));
      return { element: el("li", {}, el("strong", {}, title), detail, state.element), state, detail };
    });
    this.body.append(list, this.#none);
  }

  render() {
    const { state, components = {}, circuit_breakers: breakers = {} } = this.channel.state.value ?? {};
    this.#state.set(state);
    const parts = new Map();
    for (const [name, part] of Object.entries(components)) {
      parts.set(`component ${name}`, { state: part.state, detail: part.detail ?? "" });
    }
    for (const [name, breaker] of Object.entries(breakers)) {
      const failures = breaker.failures ? `, ${breaker.failures} failed in a row` : "";
      parts.set(`breaker ${name}`, { state: breaker.state, detail: `circuit breaker${failures}` });
    }
    for (const [name, part] of this.#parts.show(parts.keys())) {
      part.state.set(parts.get(name).state);
      setText(part.detail, parts.get(name).detail);
    }
    this.#none.hidden = parts.size !== 0;
  }
}

/** A value that nobody described: its fields, or itself. */
class ValuePanel extends Panel {
  #fields;

  constructor(channel, title) {
    super(channel, title);
    const grid = el("dl", { class: "tiles" });
    this.#fields = new KeyedChildren(grid, (name) => tile(name ? asTitle(name) : "Value"));
    this.body.append(grid);
  }

  render() {
    const { value } = this.channel.state;
    const plain = value !== null && typeof value === "object" && !Array.isArray(value);
    const fields = plain ? value : { "": value };
    for (const [name, { figure }] of this.#fields.show(Object.keys(fields))) {
      figure.set(fields[name]);
    }
  }
}

const BY_STREAM = {
  portfolio: { kind: "value", make: (channel) => new PortfolioPanel(channel) },
  positions: {
    kind: "table",
    make: (channel) =>
      new TablePanel(channel, "Positions", { columns: POSITION_COLUMNS, none: "No open positions" }),
  },
  decisions: { kind: "log", make: (channel) => new DecisionsPanel(channel) },
  status: { kind: "value", make: (channel) => new StatusPanel(channel) },
  health: { kind: "value", make: (channel) => new HealthPanel(channel) },
  alerts: { kind: "log", make: (channel) => new EventsPanel(channel, "Alerts", { live: "polite" }) },
  agent: { kind: "log", make: (channel) => new EventsPanel(channel, "Agent events") },
};

const BY_KIND = {
  value: (channel) => new ValuePanel(channel, asTitle(channel.stream)),
  table: (channel) => new TablePanel(channel, asTitle(channel.stream)),
  log: (channel) => new EventsPanel(channel, asTitle(channel.stream)),
};

/** The panel for a channel: that of its stream where its kind is the expected one. */
export function makePanel(channel) {
  const own = BY_STREAM[channel.stream];
  return own?.kind === channel.kind ? own.make(channel) : BY_KIND[channel.kind](channel);
}

/** Where a channel's panel stands among the others: by account, then by stream. */
export function orderOf(channel) {
  const rank = Object.keys(BY_STREAM).indexOf(channel.stream);
  const streams = String(rank < 0 ? 99 : rank).padStart(2, "0");
  return `${channel.key}\n${streams}\n${channel.name}`;
}
