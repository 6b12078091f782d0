import { useStanding } from "../session/context.ts";

export type ShownMode = "paper" | "live" | "unknown" | "none";

/** Whether real money is at stake; "unknown" where there is an account that does not say. */
export function useMode(): ShownMode {
  const { portfolio } = useStanding();
  return portfolio === null ? "none" : (portfolio.mode ?? "unknown");
}

const WORDS: Readonly<Record<ShownMode, string>> = {
  paper: "Paper",
  live: "Live money",
  unknown: "Paper or live: unknown",
  none: "No account",
};

export function ModeBadge() {
  const mode = useMode();
  return (
    <strong
      className="mode"
      data-mode={mode}
      aria-label={`Trading mode: ${WORDS[mode]}`}
      role="img"
    >
      {WORDS[mode]}
    </strong>
  );
}
