// What commands and their steps are called. Pure.

import type { Attempt, CommandRecord } from "../../react/index.ts";
import { readTrade } from "../data/payloads.ts";
import { fields, text } from "../data/reading.ts";
import { asText } from "../money/format.ts";
import { asClock } from "../time/format.ts";
import type { CommandName, Situation } from "./situation.ts";

/** What is asked for, with its data. */
export type Asked =
  | { readonly event: Exclude<CommandName, "position.close" | "config.set"> }
  | { readonly event: "position.close"; readonly id: string; readonly pair: string }
  | {
      readonly event: "config.set";
      readonly name: string;
      readonly value: string | number;
      readonly before: string | number;
    };

/** What goes to the agent with a command. */
export function dataOf(asked: Asked): Readonly<Record<string, unknown>> {
  if (asked.event === "position.close") return { id: asked.id };
  return asked.event === "config.set" ? { [asked.name]: asked.value } : {};
}

const TITLES: Readonly<Record<string, string>> = {
  "agent.start": "Start",
  "agent.pause": "Pause",
  "agent.resume": "Resume",
  "agent.stop": "Stop",
  "emergency.stop": "Emergency stop",
  "position.close": "Close",
  "config.set": "Change settings",
};

/** A command's name on its button, or its event where the page has none for it. */
export function titleOf(event: string): string {
  return TITLES[event] ?? event;
}

export function agentOf({ agent }: Pick<Situation, "agent">): string {
  return agent === "" ? "the agent" : agent;
}

/** What the dialog asks. */
export function questionOf(asked: Asked, situation: Situation): string {
  const agent = agentOf(situation);
  if (asked.event === "position.close") return `Close ${asked.pair}?`;
  if (asked.event === "config.set") return `Change ${asked.name}?`;
  return asked.event === "emergency.stop"
    ? `Emergency stop of ${agent}?`
    : `${titleOf(asked.event)} ${agent}?`;
}

/** What will happen, in words. */
export function consequenceOf(asked: Asked, situation: Situation): string {
  const agent = situation.agent === "" ? "The agent" : situation.agent;
  const { positions } = situation;
  switch (asked.event) {
    case "agent.start":
      return `${agent} begins to trade: it decides, opens and closes positions by itself.`;
    case "agent.pause":
      return `${agent} makes no new decisions until it is resumed. ${stay(positions)}`;
    case "agent.resume":
      return `${agent} goes on: it decides, opens and closes positions by itself.`;
    case "agent.stop":
      return `${agent} trades no more until it is started. ${stay(positions)}`;
    case "emergency.stop":
      return `${agent} ${closes(positions)} and stops. Commands that it has not begun are dropped.`;
    case "position.close":
      return `${agent} closes this position at once, at the price that it gets.`;
    case "config.set":
      return `${agent} changes ${asked.name} from ${asked.before} to ${asked.value}, for all that it decides from then on.`;
  }
}

function stay(positions: number | null): string {
  if (positions === 0) return "No position is open.";
  if (positions === null) return "Open positions stay open.";
  return positions === 1
    ? "The 1 open position stays open."
    : `The ${positions} open positions stay open.`;
}

function closes(positions: number | null): string {
  if (positions === 0) return "has no open position that is known here, closes any there is,";
  if (positions === null) return "closes every position at once";
  return positions === 1
    ? "closes its 1 open position at once"
    : `closes all ${positions} open positions at once`;
}

/** What the button says that sends it: other words than those of the button that asked. */
export function confirmOf(asked: Asked, { positions }: Situation): string {
  if (asked.event === "position.close") return `Close ${asked.pair} now`;
  if (asked.event === "config.set") return `Set it to ${asked.value}`;
  if (asked.event !== "emergency.stop") return `${titleOf(asked.event)} it`;
  if (!positions) return "Close everything and stop";
  return positions === 1 ? "Close 1 position and stop" : `Close ${positions} positions and stop`;
}

/** By a position's id what it is of, of those that this page knows. */
export type Pairs = ReadonlyMap<string, string>;

/** What a command is about, beside its name: a position, or settings; "" for nothing. */
export function aboutOf(
  { event, data, result }: Pick<CommandRecord, "event" | "data" | "result">,
  pairs: Pairs,
): string {
  if (event !== "position.close") return listed(data);
  const id = text(fields(data).id) ?? "";
  return pairs.get(id) ?? text(fields(result).asset_pair) ?? id;
}

/** Where an attempt is, in a sentence. */
export function progressOf(attempt: Attempt, connection: string): string {
  const { state, worker, reason, waitsUntil } = attempt;
  switch (state) {
    case "sending":
      return connection === "live"
        ? "Sending …"
        : `No connection: it is tried until ${asClock(waitsUntil)}, and not known whether the hub has it.`;
    case "sent":
      return "The hub has it; no worker of the agent has begun.";
    case "accepted":
      return `Begun${worker === null ? "" : ` by ${worker}`} …`;
    case "refused":
      return `The hub refused it: ${reason}. Nothing was sent.`;
    case "unsent":
      return `Not sent: ${reason}. Nothing was done.`;
    case "unknown":
      return `Not known whether it was taken: ${reason}. Look at the list of commands before you try again.`;
    default:
      return outcomeOf(attempt);
  }
}

/** What a command came to, or why it did not; "" while it is under way. */
export function outcomeOf({
  event,
  state,
  result,
  reason,
}: Pick<CommandRecord, "event" | "reason" | "result"> & { readonly state: string }): string {
  if (state === "failed") return reason ?? "The agent gave no reason.";
  if (state === "expired") return "No agent began it in time, so nothing was done.";
  return state === "done" ? resultOf(event, result) : "";
}

function resultOf(event: string, result: unknown): string {
  const trade = event === "position.close" ? readTrade(result) : null;
  if (trade !== null && trade.price !== null) {
    const gain = trade.realized === null ? "" : `, ${asText(trade.realized, { signed: true })}`;
    return `At ${asText(trade.price)}${gain}`;
  }
  if (event === "emergency.stop") {
    const { closed } = fields(result);
    if (Array.isArray(closed)) return `${closed.length} closed`;
  }
  return listed(result);
}

function listed(data: unknown): string {
  const parts = Object.entries(fields(data)).map(([name, value]) => `${name} ${briefly(value)}`);
  return parts.join(", ");
}

const LONG = 60;

function briefly(value: unknown): string {
  const words = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return words.length > LONG ? `${words.slice(0, LONG)} …` : words;
}
