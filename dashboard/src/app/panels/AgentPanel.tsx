import { AgentCommands } from "../command/AgentCommands.tsx";
import { readStatus } from "../data/payloads.ts";
import { fields, text } from "../data/reading.ts";
import { useSeat, useSnapshot } from "../session/context.ts";
import { Amount } from "../shell/Amount.tsx";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asDuration } from "../time/format.ts";
import { arc, STEPS } from "./loop.ts";

/** Where the agent is in its loop, why, and what it did so far. */
export function AgentPanel() {
  const { account } = useSeat().ledger;
  const { value, state } = useSnapshot(account.status);
  const status = readStatus(value);
  const isKnown = value !== undefined && value !== null;
  return (
    <Panel
      title="Agent"
      channel={account.status}
      className="agent-panel"
      tools={
        <>
          {status.state !== null && <Badge word={status.state} />}
          {status.paused && status.state !== "PAUSED" && <Badge word="PAUSED" />}
        </>
      }
    >
      {isKnown ? (
        <>
          <div className="agent">
            <Ring step={status.step} />
            <ol className="loop" aria-label="The agent's loop">
              {STEPS.map(({ name, title }) => (
                <li key={name} aria-current={name === status.step ? "step" : undefined}>
                  {title}
                </li>
              ))}
            </ol>
          </div>
          <Reason channel={account.agent} />
          <dl className="figures">
            <Count
              name="Uptime"
              value={status.uptimeMs === null ? null : asDuration(status.uptimeMs)}
            />
            <Count name="Decisions" value={status.decisions} />
            <Count name="Trades" value={status.trades} />
            <Count name="Won / lost" value={`${status.wins ?? "–"} / ${status.losses ?? "–"}`} />
            <div>
              <dt>Realised P&L</dt>
              <dd>
                <Amount text={status.realized} places={2} signed toned />
              </dd>
            </div>
          </dl>
        </>
      ) : (
        <p className="empty">{state === "waiting" ? "Waiting for an agent …" : "No agent yet"}</p>
      )}
      <AgentCommands config={status.config} />
    </Panel>
  );
}

function Ring({ step }: { readonly step: string | null }) {
  const current = STEPS.find(({ name }) => name === step);
  return (
    <svg className="ring" viewBox="0 0 100 100" aria-hidden="true">
      {STEPS.map(({ name }, index) => (
        <path
          key={name}
          className={name === step ? "current" : ""}
          d={arc(index, STEPS.length, 43)}
          fill="none"
        />
      ))}
      <text x="50" y="50" textAnchor="middle" dominantBaseline="central">
        {current?.title ?? step ?? "–"}
      </text>
    </svg>
  );
}

/** Why the agent is where it is: the newest step in its log. */
function Reason({ channel }: { readonly channel: string }) {
  const { entries } = useSnapshot(channel);
  const steps = entries.filter(({ event }) => event === "state_transition");
  const newest = steps[steps.length - 1];
  const reason = text(fields(newest?.data).reason);
  return <p className="reason">{reason ?? "\u00a0"}</p>;
}

function Count({ name, value }: { readonly name: string; readonly value: number | string | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{typeof value === "number" ? value.toLocaleString("en") : (value ?? "–")}</dd>
    </div>
  );
}
