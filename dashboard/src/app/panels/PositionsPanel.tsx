import { memo, useMemo, useRef, useState } from "react";
import type { Freshness } from "../../client/index.ts";
import { CloseButton, ClosingProgress } from "../command/CloseButton.tsx";
import { useCommand } from "../command/Commanding.tsx";
import { readPosition, type TradingPosition } from "../data/payloads.ts";
import { useHubTimeAs, useSeat, useSnapshot } from "../session/context.ts";
import { Amount } from "../shell/Amount.tsx";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asDuration, asMoment } from "../time/format.ts";
import { type Column, FIRST_ORDER, type Order, pressed, type Row, sorted } from "./sorting.ts";

/** spare: left out where there is no room; its cell's content then stands in another one. */
const COLUMNS: readonly { column: Column; title: string; spare?: boolean; figure?: boolean }[] = [
  { column: "pair", title: "Pair" },
  { column: "side", title: "Side", spare: true },
  { column: "size", title: "Size", spare: true, figure: true },
  { column: "entry", title: "Entry", spare: true, figure: true },
  { column: "price", title: "Price", figure: true },
  { column: "pnl", title: "P&L", figure: true },
  { column: "pnlPct", title: "P&L %", spare: true, figure: true },
  { column: "margin", title: "Margin", spare: true, figure: true },
  { column: "held", title: "Held", spare: true, figure: true },
];

/** How many rows are shown before somebody asks for more. */
const STEP = 60;

export function PositionsPanel() {
  const { positions } = useSeat().ledger.account;
  const { rows: given, state, ts } = useSnapshot(positions);
  const [order, setOrder] = useState<Order>(FIRST_ORDER);
  const [limit, setLimit] = useState(STEP);
  const { isOffered } = useCommand();
  const read = useReader();
  const rows = useMemo(() => sorted(read(given), order), [read, given, order]);
  return (
    <Panel
      title="Positions"
      channel={positions}
      className="positions-panel"
      tools={<Badge word={String(rows.length)} />}
    >
      {rows.length === 0 ? (
        <p className="empty">{emptyText(state, ts)}</p>
      ) : (
        <table className="positions">
          <caption className="unseen">Open positions</caption>
          <thead>
            <tr>
              {COLUMNS.map(({ column, title, spare, figure }) => (
                <Heading
                  key={column}
                  title={title}
                  className={`${spare ? "spare" : ""} ${figure ? "figure" : ""}`}
                  order={order.column === column ? order : null}
                  press={() => setOrder(pressed(order, column))}
                />
              ))}
              {isOffered && (
                <th scope="col">
                  <span className="unseen">Close</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, limit).map(({ key, position }) => (
              <PositionRow key={key} id={key} position={position} isOffered={isOffered} />
            ))}
          </tbody>
        </table>
      )}
      {rows.length > limit && (
        <button type="button" className="more" onClick={() => setLimit(limit + STEP)}>
          Show {Math.min(STEP, rows.length - limit)} more of {rows.length - limit}
        </button>
      )}
      <ClosingProgress />
    </Panel>
  );
}

/** That there are none is said only where somebody said so. */
function emptyText(state: Freshness, ts: number): string {
  if (state === "waiting") return "Waiting for positions …";
  return ts === 0 ? "No positions yet" : "No open positions";
}

interface HeadingProps {
  readonly title: string;
  readonly className: string;
  /** Null where the table is ordered by another column. */
  readonly order: Order | null;
  readonly press: () => void;
}

function Heading({ title, className, order, press }: HeadingProps) {
  const direction = order === null ? "none" : order.descending ? "descending" : "ascending";
  return (
    <th scope="col" className={className} aria-sort={direction}>
      <button type="button" onClick={press}>
        {title}
        <span aria-hidden="true" className="arrow">
          {order === null ? "" : order.descending ? "▾" : "▴"}
        </span>
      </button>
    </th>
  );
}

interface RowProps {
  readonly id: string;
  readonly position: TradingPosition;
  /** Whether the token may close it. */
  readonly isOffered: boolean;
}

const PositionRow = memo(function PositionRow({ id, position, isOffered }: RowProps) {
  const { pair, side, size, entry, price, pnl, pnlPct, margin, openedAt } = position;
  return (
    <tr>
      <th scope="row">
        {pair}
        <span className="narrow">
          <Badge word={side} /> <Amount text={size} />
        </span>
      </th>
      <td className="spare">
        <Badge word={side} />
      </td>
      <td className="spare figure">
        <Amount text={size} />
      </td>
      <td className="spare figure">
        <Amount text={entry} />
      </td>
      <td className="figure">
        <Amount text={price} flashing />
        <span className="narrow">
          <Amount text={entry} />
        </span>
      </td>
      <td className="figure">
        <Amount text={pnl} places={2} signed toned flashing />
        <span className="narrow">
          <Amount text={pnlPct} signed toned suffix=" %" />
        </span>
      </td>
      <td className="spare figure">
        <Amount text={pnlPct} signed toned suffix=" %" />
      </td>
      <td className="spare figure">
        <Amount text={margin} places={2} />
      </td>
      <td className="spare figure">
        <Held since={openedAt} />
      </td>
      {isOffered && (
        <td className="act">
          <CloseButton id={id} pair={pair} />
        </td>
      )}
    </tr>
  );
});

function Held({ since }: { readonly since: number | null }) {
  const words = useHubTimeAs((now) => (since === null ? "–" : asDuration(now - since)));
  if (since === null) return words;
  return (
    <time dateTime={new Date(since).toISOString()} title={`Opened ${asMoment(since, Date.now())}`}>
      {words}
    </time>
  );
}

/** Reads rows once: a row that did not change is the same object again. */
function useReader(): (given: ReadonlyMap<string, unknown>) => readonly Row[] {
  const known = useRef(new Map<string, { given: unknown; row: Row }>());
  return useRef((given: ReadonlyMap<string, unknown>) => {
    const next = new Map<string, { given: unknown; row: Row }>();
    for (const [key, value] of given) {
      const before = known.current.get(key);
      const isSame = before !== undefined && before.given === value;
      next.set(
        key,
        isSame ? before : { given: value, row: { key, position: readPosition(value) } },
      );
    }
    known.current = next;
    return [...next.values()].map(({ row }) => row);
  }).current;
}
