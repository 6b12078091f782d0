// What panels are made of.

import { el, Figure, setText } from "./dom.js";
import { asDuration, asMoment, asText } from "./format.js";

/** The frame that all panels share: title, channel, freshness. */
export class Panel {
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
export function tile(label, options) {
  const value = el("dd");
  const element = el("div", { class: "tile" }, el("dt", {}, label), value);
  return { element, figure: new Figure(value, options) };
}

export function badge(text, tone) {
  return el("span", { class: `badge ${tone}` }, text);
}

export const TONES = {
  BUY: "gain", LONG: "gain", SELL: "loss", SHORT: "loss",
  RUNNING: "gain", STARTING: "warn", PAUSED: "warn", STOPPED: "loss", FAILED: "loss",
  ok: "gain", degraded: "warn", down: "loss",
  closed: "gain", half_open: "warn", open: "loss",
  info: "plain", warning: "warn", critical: "loss",
};

/** A badge whose text and tone follow a word. */
export class WordBadge {
  element = badge("–", "plain");

  set(word) {
    const text = asText(word);
    setText(this.element, text.replace(/_/g, " "));
    this.element.className = `badge ${TONES[text] ?? "plain"}`;
  }
}
