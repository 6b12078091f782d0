import { useState } from "react";
import { EquityChart } from "../chart/EquityChart.tsx";
import { type Distance, RANGES, type Range } from "../equity/history.ts";
import { useSeat, useStanding } from "../session/context.ts";
import { Amount } from "../shell/Amount.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asMoment, asShortClock, startOfDay } from "../time/format.ts";

const MONEY = { places: 2 } as const;
const NEAR_MIDNIGHT_MS = 5 * 60_000;

/** The account: equity in front, what the day brought, its course, and the other amounts. */
export function EquityPanel() {
  const { ledger } = useSeat();
  const [range, setRange] = useState<Range>(RANGES[1]);
  const [marks, setMarks] = useState({ decision: true, trade: true });
  return (
    <Panel title="Portfolio" channel={ledger.account.portfolio} className="equity-panel">
      <div className="hero">
        <Equity />
        <Figures />
      </div>
      <div className="chart-tools">
        <fieldset className="segments">
          <legend className="unseen">Range of the chart</legend>
          {RANGES.map((each) => (
            <button
              type="button"
              key={each.name}
              title={each.label}
              aria-pressed={each === range}
              onClick={() => setRange(each)}
            >
              {each.name}
            </button>
          ))}
        </fieldset>
        <fieldset className="chips">
          <legend className="unseen">Marks on the chart</legend>
          {(["decision", "trade"] as const).map((kind) => (
            <button
              type="button"
              key={kind}
              className={`chip mark-${kind}`}
              aria-pressed={marks[kind]}
              onClick={() => setMarks({ ...marks, [kind]: !marks[kind] })}
            >
              {kind === "decision" ? "Decisions" : "Trades"}
            </button>
          ))}
        </fieldset>
      </div>
      <EquityChart range={range} marks={marks} />
    </Panel>
  );
}

function Equity() {
  const { portfolio, day } = useStanding();
  return (
    <div className="equity">
      <p className="label">
        Equity {portfolio?.platform && <span className="platform">{portfolio.platform}</span>}
      </p>
      <p className="headline">
        <Amount text={portfolio?.equity ?? null} {...MONEY} />
        <span className="currency">{portfolio?.currency}</span>
      </p>
      <p className="day" title={dayTitle(day)}>
        <Amount text={day?.amount ?? null} {...MONEY} signed toned />
        {day?.pct != null && <Amount text={day.pct} signed toned suffix=" %" />}
        <span className="since">P&L {day === null ? "today" : since(day)}</span>
      </p>
    </div>
  );
}

function Figures() {
  const { portfolio, drawdown } = useStanding();
  return (
    <dl className="figures">
      <Figure name="Balance" text={portfolio?.balance} />
      <Figure name="Available" text={portfolio?.available} />
      <Figure name="Exposure" text={portfolio?.exposure} />
      <Figure name="Unrealised P&L" text={portfolio?.unrealized} signed />
      <Figure name="Realised P&L" text={portfolio?.realized} signed />
      <Figure
        name="Drawdown"
        text={drawdown?.amount}
        pct={drawdown?.pct}
        signed
        title={
          drawdown === null ? undefined : `Below the highest since ${asMoment(drawdown.from.at, 0)}`
        }
      />
    </dl>
  );
}

interface FigureProps {
  readonly name: string;
  readonly text: string | null | undefined;
  readonly pct?: string | null | undefined;
  readonly signed?: boolean;
  readonly title?: string | undefined;
}

function Figure({ name, text, pct, signed = false, title }: FigureProps) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>
        <Amount text={text ?? null} {...MONEY} signed={signed} toned={signed} />{" "}
        {pct != null && (
          <span className="pct">
            <Amount text={pct} signed={signed} toned={signed} suffix=" %" />
          </span>
        )}
      </dd>
    </div>
  );
}

/** From when the day is counted: a page can't know what was before it, where nobody kept it. */
function since({ from }: Distance): string {
  const midnight = startOfDay(Date.now());
  if (Math.abs(from.at - midnight) <= NEAR_MIDNIGHT_MS) return "today";
  return from.at < midnight
    ? `since ${asMoment(from.at, midnight)}`
    : `since ${asShortClock(from.at)}`;
}

function dayTitle(day: Distance | null): string | undefined {
  if (day === null) return undefined;
  return `Equity now, less ${day.from.text} at ${asMoment(day.from.at, Date.now())}; deposits count`;
}
