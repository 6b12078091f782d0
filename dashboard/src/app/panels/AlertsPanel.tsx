import { memo } from "react";
import type { LogEntry } from "../../client/index.ts";
import { readAlert } from "../data/payloads.ts";
import { useHubTimeAs, useSeat, useSnapshot } from "../session/context.ts";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asMoment } from "../time/format.ts";

const SHOWN = 50;

export function AlertsPanel() {
  const { alerts } = useSeat().ledger.account;
  const { entries } = useSnapshot(alerts);
  const shown = entries.slice(-SHOWN).reverse();
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
              <AlertLine key={entry.seq} entry={entry} />
            ))}
          </ol>
        </section>
      )}
    </Panel>
  );
}

const AlertLine = memo(function AlertLine({ entry }: { readonly entry: LogEntry<unknown> }) {
  const { severity, title, detail } = readAlert(entry.data);
  const when = useHubTimeAs((now) => asMoment(entry.ts / 1000, now));
  return (
    <li className="alert" data-severity={severity}>
      <p>
        <Badge word={severity} />
        <strong>{title}</strong>
        <time dateTime={new Date(entry.ts / 1000).toISOString()}>{when}</time>
      </p>
      {detail && <p className="detail">{detail}</p>}
    </li>
  );
});
