import { useMemo, useSyncExternalStore } from "react";
import { useDesk } from "../session/context.ts";
import { Badge } from "../shell/Badge.tsx";
import { Box } from "../shell/Panel.tsx";
import { asDuration } from "../time/format.ts";
import { meaningOf } from "./codes.ts";
import { asTick, HubChart } from "./HubChart.tsx";
import { Monitor } from "./monitor.ts";
import type { Sample, Totals } from "./statistics.ts";

/** How the hub itself does, from its own counts. */
export function HubPage() {
  const { api } = useDesk();
  const monitor = useMemo(() => new Monitor(api), [api]);
  const { counts, sample, error } = useSyncExternalStore(monitor.subscribe, monitor.getReport);
  const rate = (pick: (sample: Sample) => number) => (sample === null ? "–" : asTick(pick(sample)));
  const lag = (ms: number | null | undefined) => (ms == null ? "–" : ms.toFixed(ms < 10 ? 2 : 0));
  return (
    <>
      <div className="page-head">
        <h1>Hub</h1>
        {counts !== null && (
          <p>
            {counts.workers} {counts.workers === 1 ? "worker" : "workers"} ·{" "}
            {counts.accepted.toLocaleString("en")} connections since the start ·{" "}
            {rate(({ received }) => received)} publishes a second
          </p>
        )}
      </div>
      {error !== null && (
        <p className="banner" role="alert">
          {error}
        </p>
      )}
      <div className="hub-board" data-state={error === null ? "live" : "stale"}>
        <HubChart
          monitor={monitor}
          title="Connections"
          whole
          now={counts === null ? "–" : counts.connections.toLocaleString("en")}
          unit="open"
          lines={[{ label: "open", pick: ({ connections }) => connections }]}
        />
        <HubChart
          monitor={monitor}
          title="Deliveries"
          now={rate(({ deliveries }) => deliveries)}
          unit="a second"
          lines={[{ label: "deliveries", pick: ({ deliveries }) => deliveries }]}
        />
        <HubChart
          monitor={monitor}
          title="Lag to socket"
          now={`${lag(sample?.lagP50)} / ${lag(sample?.lagP99)}`}
          unit="ms"
          lines={[
            { label: "p50", pick: ({ lagP50 }) => lagP50 },
            { label: "p99", pick: ({ lagP99 }) => lagP99 },
          ]}
        />
        <HubChart
          monitor={monitor}
          title="Conflated"
          now={rate(({ conflated }) => conflated)}
          unit="a second"
          lines={[{ label: "conflated", pick: ({ conflated }) => conflated }]}
        />
        <HubChart
          monitor={monitor}
          title="Stale channels"
          whole
          now={sample === null ? "–" : String(sample.stale)}
          unit={`of ${counts?.channels.length ?? "–"}`}
          lines={[{ label: "stale", pick: ({ stale }) => stale }]}
        />
        <HubChart
          monitor={monitor}
          title="Connections that ended"
          whole
          now={sample === null ? "–" : String(sum(sample.closes))}
          unit="in the last second"
          lines={[{ label: "ended", pick: ({ closes }) => sum(closes) }]}
        />
        <Closes totals={counts?.closes ?? {}} recent={monitor.closes} />
        <Channels rows={counts?.channels ?? []} />
      </div>
    </>
  );
}

function sum(totals: Totals): number {
  return Object.values(totals).reduce((all, each) => all + each, 0);
}

function Closes({ totals, recent }: { readonly totals: Totals; readonly recent: Totals }) {
  const codes = Object.keys(totals).sort();
  const most = Math.max(1, ...Object.values(totals));
  return (
    <Box title="Closes by code">
      {codes.length === 0 ? (
        <p className="empty">No connection ended yet</p>
      ) : (
        <table className="listing">
          <thead>
            <tr>
              <th scope="col">Code</th>
              <th scope="col">Meaning</th>
              <th scope="col" className="figure">
                5 minutes
              </th>
              <th scope="col" className="figure">
                In all
              </th>
            </tr>
          </thead>
          <tbody>
            {codes.map((code) => (
              <tr key={code}>
                <th scope="row">{code}</th>
                <td>
                  {meaningOf(code)}
                  <meter min={0} max={most} value={totals[code] ?? 0} aria-hidden="true" />
                </td>
                <td className="figure">{(recent[code] ?? 0).toLocaleString("en")}</td>
                <td className="figure">{(totals[code] ?? 0).toLocaleString("en")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Box>
  );
}

interface ChannelRow {
  readonly name: string;
  readonly kind: string;
  readonly ageMs: number | null;
  readonly stale: boolean;
}

/** All channels, the stale ones first. */
function Channels({ rows }: { readonly rows: readonly ChannelRow[] }) {
  const sorted = [...rows].sort(
    (a, b) => Number(b.stale) - Number(a.stale) || (a.name < b.name ? -1 : 1),
  );
  return (
    <Box title="Channels">
      {rows.length === 0 ? (
        <p className="empty">No channels yet</p>
      ) : (
        <table className="listing">
          <thead>
            <tr>
              <th scope="col">Channel</th>
              <th scope="col">Kind</th>
              <th scope="col" className="figure">
                Newest
              </th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {sorted.map(({ name, kind, ageMs, stale }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{kind}</td>
                <td className="figure">{ageMs === null ? "–" : `${asDuration(ageMs)} ago`}</td>
                <td>
                  <Badge word={stale ? "stale" : "live"} tone={stale ? "warn" : "gain"} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Box>
  );
}
