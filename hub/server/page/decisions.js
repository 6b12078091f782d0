// Decisions, newest first: what was decided, how sure, and why.

import { el, flash, KeyedChildren, setText } from "./dom.js";
import { asMoment, asText } from "./format.js";
import { badge, Panel, WordBadge } from "./panel.js";

const SHOWN = 60;
const LONG_REASONING = 220;

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

export class DecisionsPanel extends Panel {
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
    const keys = [...newest.keys()].reverse().slice(0, SHOWN);
    for (const [key, card] of this.#cards.show(keys)) card.set(newest.get(key));
    this.#none.hidden = keys.length !== 0;
  }
}
