// What there is when somebody wants to command an agent, and whether that makes sense. Pure.

import type { State } from "../../client/index.ts";
import type { ShownMode } from "../shell/ModeBadge.tsx";

/** The commands that the page has buttons for. */
export type CommandName =
  | "agent.start"
  | "agent.pause"
  | "agent.resume"
  | "agent.stop"
  | "emergency.stop"
  | "position.close"
  | "config.set";

/** The agent, and what is known of it. */
export interface Situation {
  /** "" for the one without a name. */
  readonly agent: string;
  readonly mode: ShownMode;
  /** Its process; null where nothing says. */
  readonly state: string | null;
  /** How many positions are open; null where nothing says. */
  readonly positions: number | null;
  readonly connection: State;
  readonly isListening: boolean;
  /** What is shown of the agent or its positions may not be true any more. */
  readonly isOld: boolean;
  /** The hub has refused a command of this page. */
  readonly isDenied: boolean;
}

const SENSELESS: Readonly<Record<string, Partial<Record<CommandName, string>>>> = {
  STARTING: {
    "agent.start": "The agent starts already.",
    "agent.resume": "The agent is not paused.",
  },
  RUNNING: {
    "agent.start": "The agent runs already.",
    "agent.resume": "The agent is not paused.",
  },
  PAUSED: {
    "agent.start": "The agent is paused: resume it.",
    "agent.pause": "The agent is paused already.",
  },
  STOPPED: {
    "agent.pause": "The agent is stopped.",
    "agent.resume": "The agent is stopped: start it.",
    "agent.stop": "The agent is stopped already.",
  },
  FAILED: {
    "agent.pause": "The agent has failed.",
    "agent.resume": "The agent has failed: start it.",
  },
};

/** Why no command but an emergency stop can be given now; null where they can. */
export function whyNothing(situation: Situation): string | null {
  const { connection, isListening, isOld, isDenied } = situation;
  if (connection === "stale") return "The hub does not answer.";
  if (connection !== "live") return "Not connected to the hub.";
  if (isDenied) return "This token may not command the agent.";
  if (!isListening) return "No agent listens.";
  return isOld ? "What is shown is old." : null;
}

/** Why a command can't be given, or makes no sense, now; null where it can. */
export function whyNot(name: CommandName, situation: Situation): string | null {
  // Whatever the page believes, it may be wrong: this one is never held back.
  if (name === "emergency.stop") return null;
  return whyNothing(situation) ?? SENSELESS[situation.state ?? ""]?.[name] ?? null;
}

/** What somebody must know who gives an emergency stop all the same; "" where all is well. */
export function caution(situation: Situation): string {
  const { connection, isListening, isOld, isDenied } = situation;
  if (connection !== "live") {
    return "The hub can't be reached now: it is tried for a minute. What is open now may differ.";
  }
  if (isDenied) return "The hub has refused a command of this token before.";
  if (!isListening) return "No agent listens now: it is done only if one comes within a minute.";
  return isOld ? "What is shown is old: what is open now may differ." : "";
}
