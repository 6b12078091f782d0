export type Tone = "plain" | "gain" | "loss" | "warn" | "accent";

const TONES: Readonly<Record<string, Tone>> = {
  BUY: "gain",
  LONG: "gain",
  SELL: "loss",
  SHORT: "loss",
  RUNNING: "gain",
  STARTING: "warn",
  PAUSED: "warn",
  STOPPED: "loss",
  FAILED: "loss",
  ok: "gain",
  closed: "gain",
  degraded: "warn",
  half_open: "warn",
  down: "loss",
  open: "loss",
  accepted: "accent",
  done: "gain",
  expired: "warn",
  unsent: "warn",
  unknown: "warn",
  failed: "loss",
  refused: "loss",
  info: "plain",
  warning: "warn",
  critical: "loss",
};

/** A word of a payload, with the tone that it has. */
export function Badge({ word, tone }: { readonly word: string; readonly tone?: Tone }) {
  return (
    <span className={`badge ${tone ?? TONES[word] ?? "plain"}`}>{word.replace(/_/g, " ")}</span>
  );
}
