import { memo } from "react";
import type { CommandRecord } from "../../react/index.ts";
import { useCommand } from "../command/Commanding.tsx";
import { aboutOf, outcomeOf, titleOf } from "../command/words.ts";
import { useHubTimeAs, useSeat } from "../session/context.ts";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asMoment } from "../time/format.ts";

const SHOWN = 50;

/** What the agent was told, by whom, and what came of it. */
export function CommandsPanel() {
  const { commands } = useSeat().ledger.account;
  const { isOffered, situation, records = [] } = useCommand();
  if (!isOffered && records.length === 0) return null;
  return (
    <Panel
      title="Commands"
      channel={commands}
      className="commands-panel"
      // It is stale where no agent listens, and what it shows is true all the same.
      shown={
        situation.connection === "live"
          ? { state: "live", note: <Listening isListening={situation.isListening} /> }
          : undefined
      }
    >
      {records.length === 0 ? (
        <p className="empty">No commands yet</p>
      ) : (
        <section
          className="scroll"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
          tabIndex={0}
          aria-label="Commands, newest first"
        >
          <ol>
            {records.slice(0, SHOWN).map((record) => (
              <CommandLine key={record.id} record={record} />
            ))}
          </ol>
        </section>
      )}
    </Panel>
  );
}

function Listening({ isListening }: { readonly isListening: boolean }) {
  return <span className="age">{isListening ? "the agent listens" : "no agent listens"}</span>;
}

const CommandLine = memo(function CommandLine({ record }: { readonly record: CommandRecord }) {
  const { pairs } = useCommand();
  const { event, sender, state, sentAt, steppedAt } = record;
  const at = sentAt ?? steppedAt;
  const when = useHubTimeAs((now) => asMoment(at, now));
  const outcome = outcomeOf(record);
  return (
    <li className="command">
      <p>
        <Badge word={state} />
        <strong>{titleOf(event)}</strong>
        <span className="about">{aboutOf(record, pairs)}</span>
        <time dateTime={new Date(at).toISOString()}>{when}</time>
      </p>
      <p className="detail">
        by {sender}
        {outcome !== "" && `: ${outcome}`}
      </p>
    </li>
  );
});
