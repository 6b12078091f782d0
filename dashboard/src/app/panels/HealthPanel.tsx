import { readHealth } from "../data/payloads.ts";
import { useSeat, useSnapshot } from "../session/context.ts";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";

export function HealthPanel() {
  const { health } = useSeat().ledger.account;
  const { value } = useSnapshot(health);
  const { state, parts } = readHealth(value);
  return (
    <Panel
      title="Health"
      channel={health}
      className="health-panel"
      tools={state !== null && <Badge word={state} />}
    >
      {parts.length === 0 ? (
        <p className="empty">Nothing reported</p>
      ) : (
        <ul className="parts">
          {parts.map(({ name, state: word, detail }) => (
            <li key={name}>
              <strong>{name}</strong>
              <span className="detail">{detail}</span>
              <Badge word={word} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
