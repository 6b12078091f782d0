import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useState,
  useSyncExternalStore,
} from "react";
import { FORBIDDEN } from "../../client/protocol.ts";
import {
  type Attempt,
  type Commands,
  useCommands,
  useConnectionStatus,
} from "../../react/index.ts";
import { readStatus } from "../data/payloads.ts";
import { useFreshness, useSeat, useSelected } from "../session/context.ts";
import type { Ledger } from "../session/ledger.ts";
import { useMode } from "../shell/ModeBadge.tsx";
import { Question } from "./Question.tsx";
import type { Situation } from "./situation.ts";
import type { Asked, Pairs } from "./words.ts";

/** What buttons need that command the agent of the account. */
export interface Command {
  /** Whether buttons are offered: the token has the right, or nobody knows. */
  readonly isOffered: boolean;
  readonly situation: Situation;
  /** What was sent here, newest first. */
  readonly attempts: readonly Attempt[];
  /** All that the agent's log has; undefined before it was heard. */
  readonly records: Commands["data"];
  readonly pairs: Pairs;
  /** Ask the viewer, and send it then. */
  readonly ask: (asked: Asked) => void;
}

const CommandContext = createContext<Command | null>(null);

export function useCommand(): Command {
  const command = useContext(CommandContext);
  if (command === null) throw new Error("expected to be within <Commanding>");
  return command;
}

/** Lets all that is within command the account's agent; asks before anything is sent. */
export function Commanding({ children }: { readonly children: ReactNode }) {
  const { desk, ledger } = useSeat();
  const { key, commands: channel } = ledger.account;
  const { state, isListening, attempts, data, send } = useCommands({ key: key || undefined });
  const may = useSyncExternalStore(desk.subscribe, () => desk.mayCommand(channel));
  const [question, setQuestion] = useState<{ ledger: Ledger; asked: Asked } | null>(null);
  // What was asked about one account is never answered for another.
  const asked = question?.ledger === ledger ? question.asked : null;
  const { pairs } = ledger;
  const ask = useCallback(
    (asked: Asked) => {
      if (asked.event === "position.close") ledger.pairs.set(asked.id, asked.pair);
      setQuestion({ ledger, asked });
    },
    [ledger],
  );
  const close = useCallback(() => setQuestion(null), []);
  const isDenied = attempts.some(({ code }) => code === FORBIDDEN);
  const situation = useSituation(isListening, isDenied);
  const isOffered = may !== false && state !== "refused";
  const command = useMemo(
    () => ({ isOffered, situation, attempts, records: data, pairs, ask }),
    [isOffered, situation, attempts, data, pairs, ask],
  );
  return (
    <CommandContext value={command}>
      {children}
      {asked !== null && (
        <Question
          asked={asked}
          situation={situation}
          attempts={attempts}
          send={send}
          close={close}
        />
      )}
    </CommandContext>
  );
}

/** The situation of the account's agent; the same object until anything of it changes. */
function useSituation(isListening: boolean, isDenied: boolean): Situation {
  const { key: agent, status, positions: held } = useSeat().ledger.account;
  const mode = useMode();
  const { state: connection } = useConnectionStatus();
  const state = useSelected(status, ({ value }) => processOf(value));
  const positions = useSelected(held, ({ ts, rows }) => (ts === 0 ? null : rows.size));
  const isOld = [useFreshness(status), useFreshness(held)].some(
    (freshness) => freshness === "stale" || freshness === "waiting" || freshness === "idle",
  );
  return useMemo(
    () => ({ agent, mode, state, positions, connection, isListening, isOld, isDenied }),
    [agent, mode, state, positions, connection, isListening, isOld, isDenied],
  );
}

function processOf(value: unknown): string | null {
  const { state, paused } = readStatus(value);
  return paused ? "PAUSED" : state;
}
