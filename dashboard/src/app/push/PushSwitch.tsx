import { useEffect, useSyncExternalStore } from "react";
import { useDesk } from "../session/context.ts";
import { BellAway } from "../shell/icons.tsx";
import { notifying, useSetting } from "../shell/settings.ts";
import type { PushStanding } from "./pushing.ts";

function useStanding(): PushStanding {
  const { pushing } = useDesk();
  return useSyncExternalStore(pushing.subscribe, pushing.getStanding);
}

/** Whether alerts are told of while the page is closed; there where hub and browser can. */
export function PushSwitch() {
  const { pushing } = useDesk();
  const { state } = useStanding();
  const isNotified = useSetting(notifying) === "on";
  useEffect(() => {
    if (isNotified) void pushing.look();
  }, [isNotified, pushing]);
  if (!isNotified || state === "none") return null;
  const isOn = state === "on";
  return (
    <button
      type="button"
      className="bare"
      aria-label="Notify me also when the page is closed"
      aria-pressed={isOn}
      aria-disabled={state === "busy"}
      title={`Also when the page is closed: ${state === "busy" ? "…" : state}`}
      onClick={() => {
        if (state === "busy") return;
        void (isOn ? pushing.switchOff() : pushing.switchOn());
      }}
    >
      <BellAway />
    </button>
  );
}

/** Why the switch is not where it was put. */
export function PushTrouble() {
  const { trouble } = useStanding();
  if (trouble === "") return null;
  return (
    <p className="trouble" role="alert">
      {trouble}
    </p>
  );
}
