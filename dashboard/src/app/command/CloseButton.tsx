import { useLayoutEffect, useRef } from "react";
import { isOver } from "../../react/sender.ts";
import { useCommand } from "./Commanding.tsx";
import { Progress } from "./Progress.tsx";
import { once } from "./press.ts";
import { whyNot } from "./situation.ts";

/** Closes one position, after it was asked. */
export function CloseButton({ id, pair }: { readonly id: string; readonly pair: string }) {
  const { situation, attempts, ask } = useCommand();
  const button = useRef<HTMLButtonElement>(null);
  const attempt = attempts.find(({ event, data }) => event === "position.close" && data.id === id);
  const isUnderWay = attempt !== undefined && !isOver(attempt);
  const why = isUnderWay ? "It is being closed." : whyNot("position.close", situation);
  useLayoutEffect(() => {
    const pressed = button.current;
    return () => {
      // The row is gone: whoever goes by the keyboard goes on from the panels.
      if (document.activeElement === pressed) document.getElementById("main")?.focus();
    };
  }, []);
  return (
    <button
      ref={button}
      type="button"
      className="order"
      aria-label={`Close ${pair}${why === null ? "" : `: ${why}`}`}
      aria-disabled={why !== null}
      title={why ?? undefined}
      onClick={once(() => {
        if (why === null) ask({ event: "position.close", id, pair });
      })}
    >
      <span className="wordy">{isUnderWay ? "Closing …" : "Close"}</span>
      <span className="brief" aria-hidden="true">
        {isUnderWay ? "…" : "✕"}
      </span>
    </button>
  );
}

/** What became of the position that was closed last, also when its row is gone. */
export function ClosingProgress() {
  const { attempts } = useCommand();
  const closed = attempts.find(({ event }) => event === "position.close");
  return <Progress label="The last position to close" attempt={closed} />;
}
