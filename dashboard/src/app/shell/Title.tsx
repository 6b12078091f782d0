import { useEffect } from "react";
import { useClient } from "../../react/index.ts";
import { asText } from "../money/format.ts";
import { useDesk, useSeat } from "../session/context.ts";
import { useNowAs } from "../time/clock.ts";

/**
 * The tab's title: what the day brought, whether that is old, and whether it is real money. Once a
 * second, as it is read in passing.
 */
export function Title() {
  const { ledger } = useSeat();
  const desk = useDesk();
  const client = useClient();
  const title = useNowAs(() => {
    const { portfolio, day } = ledger.equity.standing;
    if (portfolio === null) return "Tapecast";
    const isFresh = desk.channel(ledger.account.portfolio).getSnapshot().state === "live";
    const isOld = !isFresh || client.status.state !== "live";
    const mode = portfolio.mode ?? "live?";
    if (day === null) return `${mode} · Tapecast`;
    const amount = asText(day.amount, { signed: true, places: 2 });
    const pct = day.pct === null ? "" : ` (${asText(day.pct, { signed: true })} %)`;
    return `${isOld ? "(old) " : ""}${amount}${pct} ${portfolio.currency} · ${mode} · Tapecast`;
  });
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(
    () => () => {
      document.title = "Tapecast";
    },
    [],
  );
  return null;
}
