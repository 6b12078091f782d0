import { useEffect, useRef, useState } from "react";
import { readAlert } from "../data/payloads.ts";
import { fields, text } from "../data/reading.ts";
import { useSeat } from "../session/context.ts";
import { notify } from "./notifications.ts";
import { notifying, useSetting } from "./settings.ts";

/** A screen reader can't follow faster. */
const SPEAK_MS = 1000;

/**
 * Watches for alerts that come while the page is open: the newest is said aloud by screen readers,
 * critical ones are notified by the browser too, where the viewer chose so.
 */
export function NewAlerts() {
  const { desk, ledger } = useSeat();
  const isOn = useRef(false);
  isOn.current = useSetting(notifying) === "on";
  const [spoken, speak] = useState("");
  useEffect(() => {
    const name = ledger.account.alerts;
    let newest = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = desk.channel(name).onChange((change) => {
      if (change.type !== "update") return;
      const { severity, title, detail } = readAlert(change.data);
      newest = `${severity} alert: ${detail ? `${title}: ${detail}` : title}`;
      timer ??= setTimeout(() => {
        timer = undefined;
        speak(newest);
      }, SPEAK_MS);
      if (severity !== "critical" || !isOn.current) return;
      // The same tag in two tabs, or of a push (see push/message.ts), is one notification.
      const { epoch, seq, tag: link } = change.position ?? { epoch: name, seq: change.ts, tag: "" };
      const incident = text(fields(change.data).incident);
      const tag = `tapecast ${incident ?? `${epoch}-${seq}-${link}`}`;
      notify(title, { body: detail, tag }, desk.pushing.registration);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [desk, ledger]);
  return (
    <p className="unseen" role="status" aria-label="Newest alert">
      {spoken}
    </p>
  );
}
