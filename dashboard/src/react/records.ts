// Commands to an agent as the log of its channel tells of them. Pure.

import type { LogEntry, Snapshot } from "../client/index.ts";
import type { AgentCommand, CommandState, CommandStep } from "../client/protocol.ts";
import { once } from "./views.ts";

/** One command, and where it is. Times are milliseconds since the epoch, by the hub's clock. */
export interface CommandRecord {
  readonly id: string;
  /** What to do: `agent.pause`, `position.close`, ... */
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Whose token was shown. */
  readonly sender: string;
  readonly state: CommandState;
  /** Null where the log does not reach back so far. */
  readonly sentAt: number | null;
  readonly expiresAt: number | null;
  /** When its newest step was. */
  readonly steppedAt: number;
  /** How often a worker began it; 2 or more where the ones before died at it. */
  readonly attempt: number;
  /** Who has it, or had it last; null where nobody did. */
  readonly worker: string | null;
  /** What it came to, of one that is done. */
  readonly result: unknown;
  /** Why it failed; null of any other. */
  readonly reason: string | null;
}

const STEP = "command.";
const ENDS: readonly string[] = ["done", "failed", "expired"];

/** Whether nothing more becomes of a command. */
export function isEnded(state: string): boolean {
  return ENDS.includes(state);
}

/** Take the log's next entry; returns the command that it is of, or null for anything else. */
export function foldEntry(
  records: Map<string, CommandRecord>,
  entry: LogEntry<unknown>,
): CommandRecord | null {
  const { event, ts, data } = entry;
  if (typeof data !== "object" || data === null || !("id" in data)) return null;
  const record = event.startsWith(STEP)
    ? stepped(records, event.slice(STEP.length) as CommandState, ts / 1000, data as CommandStep)
    : sent(event, ts / 1000, data as AgentCommand);
  records.set(record.id, record);
  return record;
}

function sent(event: string, at: number, command: AgentCommand): CommandRecord {
  const { id, sender, expires_at, data } = command;
  return {
    ...BLANK,
    id,
    event,
    sender,
    data,
    sentAt: at,
    steppedAt: at,
    expiresAt: expires_at / 1000,
  };
}

function stepped(
  records: ReadonlyMap<string, CommandRecord>,
  state: CommandState,
  at: number,
  step: CommandStep,
): CommandRecord {
  const { id, event, sender, attempt, worker, result, reason = null } = step;
  const before = records.get(id) ?? { ...BLANK, id, event, sender };
  return { ...before, state, steppedAt: at, attempt, worker, result, reason };
}

const BLANK: Omit<CommandRecord, "id" | "event" | "sender"> = {
  data: {},
  state: "sent",
  sentAt: null,
  expiresAt: null,
  steppedAt: 0,
  attempt: 0,
  worker: null,
  result: undefined,
  reason: null,
};

/** The commands in a log, each as it is now, the newest first. */
export function commandsIn({
  kind,
  entries,
}: Snapshot<unknown>): readonly CommandRecord[] | undefined {
  return kind === "log" ? folded(entries) : undefined;
}

const folded = once((entries: readonly LogEntry<unknown>[]) => {
  const records = new Map<string, CommandRecord>();
  for (const entry of entries) foldEntry(records, entry);
  return [...records.values()].reverse();
});
