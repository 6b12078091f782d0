import { type Attempt, useConnectionStatus } from "../../react/index.ts";
import { Badge } from "../shell/Badge.tsx";
import { asClock } from "../time/format.ts";
import { useCommand } from "./Commanding.tsx";
import { aboutOf, progressOf, titleOf } from "./words.ts";

interface ProgressProps {
  /** Of what it is the progress. */
  readonly label: string;
  readonly attempt: Attempt | undefined;
}

/** Where an attempt is, in place and said by screen readers; empty where there is none. */
export function Progress({ label, attempt }: ProgressProps) {
  const { pairs } = useCommand();
  const { state } = useConnectionStatus();
  return (
    <p className="progress" role="status" aria-label={label} data-state={attempt?.state}>
      {attempt !== undefined && (
        <>
          <strong>
            {titleOf(attempt.event)} {aboutOf(attempt, pairs)}
          </strong>{" "}
          <Badge word={attempt.state} /> <span>{progressOf(attempt, state)}</span>{" "}
          <time dateTime={new Date(attempt.sentAt).toISOString()}>{asClock(attempt.sentAt)}</time>
        </>
      )}
    </p>
  );
}
