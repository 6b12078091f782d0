import { useId } from "react";
import { useCommand } from "./Commanding.tsx";
import { Progress } from "./Progress.tsx";
import { once } from "./press.ts";
import { SettingForm } from "./SettingForm.tsx";
import { whyNot, whyNothing } from "./situation.ts";
import { titleOf } from "./words.ts";

const ORDINARY = ["agent.start", "agent.pause", "agent.resume", "agent.stop"] as const;

/** The buttons that command the agent as a whole, and what became of the last press of each sort. */
export function AgentCommands({ config }: { readonly config: Readonly<Record<string, unknown>> }) {
  const { isOffered, situation, attempts } = useCommand();
  const hint = useId();
  const nothing = whyNothing(situation);
  const newest = attempts.find(
    ({ event }) => event !== "position.close" && event !== "emergency.stop",
  );
  const stopped = attempts.find(({ event }) => event === "emergency.stop");
  // What was sent is followed to its end, also where the right went meanwhile.
  if (!isOffered && newest === undefined && stopped === undefined) return null;
  return (
    <section className="commanding" aria-label="Commands to the agent">
      {isOffered && (
        <>
          <div className="orders">
            {ORDINARY.map((event) => (
              <OrderButton key={event} event={event} hint={nothing === null ? null : hint} />
            ))}
          </div>
          <p className="hint" id={hint}>
            {nothing}
          </p>
        </>
      )}
      <Progress label="The last command" attempt={newest} />
      {isOffered && <SettingForm config={config} />}
      <Progress label="The emergency stop" attempt={stopped} />
    </section>
  );
}

interface OrderProps {
  readonly event: (typeof ORDINARY)[number];
  /** The element that says why none of them can be pressed; null where they can. */
  readonly hint: string | null;
}

function OrderButton({ event, hint }: OrderProps) {
  const { situation, ask } = useCommand();
  const own = useId();
  const why = whyNot(event, situation);
  // Not `disabled`: a button that can't be reached can't say why it can't be pressed.
  return (
    <>
      <button
        type="button"
        className="order"
        aria-disabled={why !== null}
        aria-describedby={why === null ? undefined : (hint ?? own)}
        title={why ?? undefined}
        onClick={once(() => {
          if (why === null) ask({ event });
        })}
      >
        {titleOf(event)}
      </button>
      {hint === null && why !== null && (
        <span className="unseen" id={own}>
          {why}
        </span>
      )}
    </>
  );
}
