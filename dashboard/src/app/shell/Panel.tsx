import { type ReactNode, useId } from "react";
import type { Freshness } from "../../client/index.ts";
import { useConnectionStatus } from "../../react/index.ts";
import { useDesk, useFreshness, useHubTimeAs, useSnapshot } from "../session/context.ts";
import { asDuration, asMoment } from "../time/format.ts";

interface PanelProps {
  readonly title: string;
  readonly channel: string;
  readonly className?: string;
  readonly tools?: ReactNode;
  /** In place of the channel's own state and age, where its being stale means something else. */
  readonly shown?: { readonly state: Freshness; readonly note: ReactNode } | undefined;
  readonly children: ReactNode;
}

/** What shows one channel: says how old it is, and dims it where it may not be true any more. */
export function Panel({ title, channel, className = "", tools, shown, children }: PanelProps) {
  const heading = useId();
  const freshness = useFreshness(channel);
  const state = shown?.state ?? freshness;
  return (
    <section
      className={`panel ${className}`}
      aria-labelledby={heading}
      data-channel={channel}
      data-state={state}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <div className="tools">{tools}</div>
        {shown?.note ?? <Age channel={channel} />}
      </header>
      <div className="body">{state === "refused" ? <Refusal channel={channel} /> : children}</div>
    </section>
  );
}

function Refusal({ channel }: { readonly channel: string }) {
  const { error } = useSnapshot(channel);
  return <p className="empty">The hub does not show it: {error?.message}.</p>;
}

/** How old what a channel shows is, in words. */
export function Age({ channel }: { readonly channel: string }) {
  const { state, ts, staleSince, skipped } = useSnapshot(channel);
  const { since } = useConnectionStatus();
  const at = ts / 1000;
  const { tap } = useDesk();
  // Where the connection went, what is shown was true when the hub was last heard. A producer that
  // is silent may have been so for a while before anybody could tell.
  const trueUntil = staleSince === since ? Math.max(at, Math.min(since, tap.heardAt)) : at;
  const words = useHubTimeAs((now) => {
    if (state === "refused") return "refused";
    if (state === "waiting" || state === "idle") return "waiting …";
    if (ts === 0) return "nothing yet";
    if (state === "stale") {
      return `as of ${asMoment(trueUntil, now)}, ${asDuration(now - trueUntil)} ago`;
    }
    return now - at < 2000 ? "just now" : `${asDuration(now - at)} ago`;
  });
  const title = skipped > 0 ? `${skipped} changes were conflated on the way` : undefined;
  return (
    <span className="age" data-state={state} title={title}>
      {words}
    </span>
  );
}

interface BoxProps {
  readonly title: string;
  readonly children: ReactNode;
}

/** A panel that shows no channel. */
export function Box({ title, children }: BoxProps) {
  const heading = useId();
  return (
    <section className="panel" aria-labelledby={heading}>
      <header>
        <h2 id={heading}>{title}</h2>
      </header>
      <div className="body">{children}</div>
    </section>
  );
}
