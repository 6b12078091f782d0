import type { ReactNode } from "react";
import type { State } from "../client/index.ts";

const DOT = <circle cx="8" cy="8" r="4.5" fill="currentColor" />;
const RING = <circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" strokeWidth="2" />;
const ARC = <path d="M8 3a5 5 0 1 1-5 5" fill="none" stroke="currentColor" strokeWidth="2" />;
const CROSS = <path d="m4 4 8 8m0-8-8 8" fill="none" stroke="currentColor" strokeWidth="2" />;
const CLOCK = (
  <g fill="none" stroke="currentColor" strokeWidth="2">
    <circle cx="8" cy="8" r="5.5" />
    <path d="M8 5v3.5l2 1.5" />
  </g>
);
const LOCK = (
  <g fill="none" stroke="currentColor" strokeWidth="2">
    <rect x="3.5" y="7" width="9" height="6" />
    <path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2" />
  </g>
);

// Each has a form of its own: colour alone would tell some people nothing.
const FORMS: Readonly<Record<State, ReactNode>> = {
  idle: RING,
  connecting: ARC,
  live: DOT,
  stale: CLOCK,
  reconnecting: ARC,
  offline: CROSS,
  unauthorized: LOCK,
  closed: CROSS,
};

/** The form of a state; its word stands beside it. */
export function StateIcon({ state }: { readonly state: State }): ReactNode {
  return (
    <svg className="tapecast-icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      {FORMS[state]}
    </svg>
  );
}
