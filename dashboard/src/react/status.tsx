// How the connection does, to be seen and heard. The styles are in style.css, so that a page needs
// no unsafe-inline; each element says its state as `data-state`.

import { type ReactNode, useEffect, useState } from "react";
import type { State } from "../client/index.ts";
import { useConnectionStatus } from "./connection.ts";
import { StateIcon } from "./icons.tsx";
import { useClient } from "./provider.tsx";

/** What a state is called. */
export type StateLabels = Readonly<Record<State, string>>;

const LABELS: StateLabels = {
  idle: "Not connected",
  connecting: "Connecting",
  live: "Live",
  stale: "Stale",
  reconnecting: "Reconnecting",
  offline: "Offline",
  unauthorized: "Signed out",
  closed: "Disconnected",
};

export interface ConnectionStatusProps {
  /** Other words, such as another language's. */
  readonly labels?: Partial<StateLabels>;
  /** As `ConnectionBadge`: the icon, and the word for those who can't see it. */
  readonly compact?: boolean;
  readonly className?: string;
}

/** The connection's state in an icon and words, why it is lost, and a way to try again now. */
export function ConnectionStatus({
  labels = {},
  compact = false,
  className = "",
}: ConnectionStatusProps): ReactNode {
  const { state, error, retryAt, latencyMs } = useConnectionStatus();
  const client = useClient();
  const label = labels[state] ?? LABELS[state];
  const isWaiting = retryAt !== null || state === "unauthorized" || state === "closed";
  const title = state === "live" && latencyMs !== null ? `${label}, ${latencyMs} ms` : error;
  return (
    <div
      className={`tapecast-connection ${compact ? "tapecast-compact" : ""} ${className}`}
      data-state={state}
      title={title ?? label}
    >
      <span className="tapecast-state" role="status">
        <StateIcon state={state} />
        <span>
          <span className="tapecast-word">{label}</span>
          {!compact && error !== null && <span className="tapecast-reason">: {error}</span>}
        </span>
      </span>
      {!compact && retryAt !== null && <Countdown key={retryAt} until={retryAt} />}
      {!compact && isWaiting && (
        <button type="button" className="tapecast-retry" onClick={() => client.reconnectNow()}>
          Try now
        </button>
      )}
    </div>
  );
}

/** The same in the page's corner, bottom left. */
export function FloatingConnectionStatus({
  className = "",
  ...props
}: ConnectionStatusProps): ReactNode {
  return <ConnectionStatus {...props} className={`tapecast-floating ${className}`} />;
}

/** The same in a word, for a page's header. */
export function ConnectionBadge({
  labels = {},
  className = "",
}: Omit<ConnectionStatusProps, "compact">): ReactNode {
  const { state, error, latencyMs } = useConnectionStatus();
  const label = labels[state] ?? LABELS[state];
  const title = state === "live" && latencyMs !== null ? `${label}, ${latencyMs} ms` : error;
  return (
    <span
      className={`tapecast-badge ${className}`}
      data-state={state}
      role="status"
      title={title ?? label}
    >
      <StateIcon state={state} />
      <span className="tapecast-word">{label}</span>
    </span>
  );
}

/** Seconds that are left. Silent: somebody who listens would hear nothing else. */
function Countdown({ until }: { readonly until: number }): ReactNode {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((until - now) / 1000));
  return (
    <span className="tapecast-countdown" aria-hidden="true">
      in {seconds} s
    </span>
  );
}
