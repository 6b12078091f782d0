// Where an agent is in its loop, and how its parts are.

import { el, KeyedChildren, setText } from "./dom.js";
import { asDuration, asTitle } from "./format.js";
import { badge, Panel, tile, WordBadge } from "./panel.js";

const OODA = ["IDLE", "PERCEPTION", "REASONING", "RISK_CHECK", "EXECUTION", "LEARNING"];

export class StatusPanel extends Panel {
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

export class HealthPanel extends Panel {
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
