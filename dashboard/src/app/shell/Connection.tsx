import {
  ConnectionBadge,
  useClient,
  useConnectionStats,
  useConnectionStatus,
} from "../../react/index.ts";
import { useNowAs } from "../time/clock.ts";
import { asDuration } from "../time/format.ts";

/** How the one connection does, always in view: its state, latency and message rate. */
export function Connection() {
  const { state } = useConnectionStatus();
  return (
    <div className="connection" data-state={state}>
      <Numbers />
      <ConnectionBadge />
      <Retry />
    </div>
  );
}

/** When the next attempt begins; outside of the live region, which would be read every second. */
function Retry() {
  const { state, retryAt } = useConnectionStatus();
  const client = useClient();
  const wait = useNowAs((now) => (retryAt === null ? "" : `in ${asDuration(retryAt - now + 999)}`));
  if (retryAt === null && state !== "closed") return null;
  return (
    <>
      {wait && <span className="wait">{wait}</span>}
      <button type="button" className="small" onClick={() => client.reconnectNow()}>
        Reconnect now
      </button>
    </>
  );
}

function Numbers() {
  const { latencyMs, framesPerSecond } = useConnectionStats();
  const { isConnected } = useConnectionStatus();
  return (
    <dl className="numbers">
      <div>
        <dt>Latency</dt>
        <dd>{isConnected && latencyMs !== null ? `${latencyMs} ms` : "–"}</dd>
      </div>
      <div>
        <dt>Messages</dt>
        <dd>{framesPerSecond.toFixed(1)}/s</dd>
      </div>
    </dl>
  );
}
