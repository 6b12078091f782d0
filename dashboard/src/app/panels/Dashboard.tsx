import { useDesk, useSeat } from "../session/context.ts";
import { AgentPanel } from "./AgentPanel.tsx";
import { AlertsPanel } from "./AlertsPanel.tsx";
import { CommandsPanel } from "./CommandsPanel.tsx";
import { DecisionsPanel } from "./DecisionsPanel.tsx";
import { EquityPanel } from "./EquityPanel.tsx";
import { HealthPanel } from "./HealthPanel.tsx";
import { PositionsPanel } from "./PositionsPanel.tsx";

export function Dashboard() {
  const desk = useDesk();
  const { account } = useSeat().ledger;
  const isEmpty = desk.isListed && desk.channels.length === 0;
  return (
    <>
      <h1 className="unseen">Dashboard {account.key}</h1>
      {isEmpty && (
        <section className="panel nothing" aria-label="No channels yet">
          <h2>No channels yet</h2>
          <p>The hub is there, and nothing was published that you may read. Start a producer:</p>
          <pre>tapecast produce paper</pre>
        </section>
      )}
      <div className="board">
        <div className="wide">
          <EquityPanel />
          <PositionsPanel />
        </div>
        <DecisionsPanel />
        <div className="side">
          <AgentPanel />
          <div className="column">
            <AlertsPanel />
            <CommandsPanel />
            <HealthPanel />
          </div>
        </div>
      </div>
    </>
  );
}
