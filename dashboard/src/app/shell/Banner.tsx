import type { Status } from "../../client/index.ts";
import { useConnectionStatus } from "../../react/index.ts";
import { useDesk } from "../session/context.ts";
import { asClock } from "../time/format.ts";

/** What everybody who looks at the numbers must know. */
export function Banner() {
  const status = useConnectionStatus();
  const { tap } = useDesk();
  const text = said(status, Math.min(status.since, tap.heardAt));
  return (
    <p className="banner" role="alert" hidden={text === ""}>
      {text}
    </p>
  );
}

function said({ state, code, reason }: Status, heardAt: number): string {
  const asOf =
    heardAt === 0 ? "Nothing was heard yet." : `What is shown is as of ${asClock(heardAt)}.`;
  if (state === "closed") {
    const why = [code, reason].filter(Boolean).join(": ");
    return `The hub ended the connection (${why}). ${asOf}`;
  }
  if (state === "stale") return `The hub does not answer. ${asOf}`;
  return state === "reconnecting" || state === "offline" ? `Not connected. ${asOf}` : "";
}
