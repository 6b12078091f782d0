import { memo, useMemo } from "react";
import type { LogEntry } from "../../client/index.ts";
import { endedIncidents, readAlert } from "../data/payloads.ts";
import { useHubTimeAs, useSeat, useSnapshot } from "../session/context.ts";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asMoment } from "../time/format.ts";

const SHOWN = 50;

export function AlertsPanel() {
  const { alerts } = useSeat().ledger.account;
  const { entries } = useSnapshot(alerts);
  const shown = useMemo(() => entries.slice(-SHOWN).reverse(), [entries]);
  const ended = useMemo(() => endedIncidents(shown.map(({ data }) => data)), [shown]);
  return (
    <Panel title="Alerts" channel={alerts} className="alerts-panel">
      {shown.length === 0 ? (
        <p className="empty">No alerts</p>
      ) : (
        <section
          className="scroll"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
          tabIndex={0}
          aria-label="Alerts, newest first"
        >
          <ol>
            {shown.map((entry) => (
              <AlertLine key={entry.seq} entry={entry} ended={ended} />
            ))}
          </ol>
        </section>
      )}
    </Panel>
  );
}

interface LineProps {
  readonly entry: LogEntry<unknown>;
  readonly ended: ReadonlySet<string | null>;
}

const AlertLine = memo(function AlertLine({ entry, ended }: LineProps) {
  const { severity, title, detail, incident } = readAlert(entry.data);
  const isOver = incident !== null && ended.has(incident);
  const when = useHubTimeAs((now) => asMoment(entry.ts / 1000, now));
  return (
    <li className="alert" data-severity={isOver ? "over" : severity}>
      <p>
        <Badge word={isOver ? `${severity}, over` : severity} />
        <strong>{title}</strong>
        <time dateTime={new Date(entry.ts / 1000).toISOString()}>{when}</time>
      </p>
      {detail && <p className="detail">{detail}</p>}
    </li>
  );
});
