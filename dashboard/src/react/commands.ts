import { useMemo, useSyncExternalStore } from "react";
import { type Live, useLive } from "./live.ts";
import { useClient } from "./provider.tsx";
import { type CommandRecord, commandsIn } from "./records.ts";
import { type Attempt, type Sender, senderOf } from "./sender.ts";

/** Which agent is commanded. */
export interface CommandsOptions {
  /** The agent's name: `desk-7` listens at `commands:desk-7`. */
  readonly key?: string | undefined;
  /** Whether its commands are followed; true by default. What is sent here is in any case. */
  readonly enabled?: boolean | undefined;
}

/** The commands to one agent, and how to send one. `data` is all that the log has, newest first. */
export interface Commands extends Live<readonly CommandRecord[]> {
  /** A worker of the agent listens, as far as can be known now. */
  readonly isListening: boolean;
  /** What was sent here, over all components, newest first and each where it is now. */
  readonly attempts: readonly Attempt[];
  /** Send one, once; ask the viewer before. */
  readonly send: Sender["send"];
}

const NONE: readonly Attempt[] = [];

/** Command an agent, and see what becomes of it. */
export function useCommands({ key, enabled }: CommandsOptions = {}): Commands {
  const client = useClient();
  const live = useLive<unknown, readonly CommandRecord[]>("commands", commandsIn, { key, enabled });
  const sender = senderOf(client, key === undefined ? "commands" : `commands:${key}`);
  const attempts = useSyncExternalStore(sender.subscribe, sender.getAttempts, () => NONE);
  const { send } = sender;
  // Workers' looking for commands is what makes their channel live.
  return useMemo(
    () => ({ ...live, isListening: live.isLive, attempts, send }),
    [live, attempts, send],
  );
}
