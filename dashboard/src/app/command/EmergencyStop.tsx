import { Octagon } from "../shell/icons.tsx";
import { useCommand } from "./Commanding.tsx";
import { once } from "./press.ts";

/** In the bar of every page: whoever needs it has no time to look for it. */
export function EmergencyStop() {
  const { isOffered, ask } = useCommand();
  if (!isOffered) return null;
  return (
    <button
      type="button"
      className="emergency"
      aria-label="Emergency stop"
      title="Emergency stop"
      onClick={once(() => ask({ event: "emergency.stop" }))}
    >
      <Octagon />
      <span>Emergency stop</span>
    </button>
  );
}
