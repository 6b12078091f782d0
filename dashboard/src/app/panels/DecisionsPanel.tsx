import { memo, useMemo, useRef, useState } from "react";
import { type Filter, type Held, type Item, Items, NO_FILTER, view } from "../feed/feed.ts";
import { useHubTimeAs, useSeat, useSnapshot } from "../session/context.ts";
import { Amount } from "../shell/Amount.tsx";
import { Badge } from "../shell/Badge.tsx";
import { Panel } from "../shell/Panel.tsx";
import { asClock, asMoment } from "../time/format.ts";
import { usePaced } from "../time/paced.ts";

/** How many cards there are at the top, and how many more when the end comes near. */
const STEP = 25;
const NEAR_PX = 600;
const LONG = 260;
const PACE_MS = 500;

export function DecisionsPanel() {
  const { decisions } = useSeat().ledger.account;
  const { entries: given, state } = useSnapshot(decisions);
  // Oftener nobody could read them, and each is a card to make.
  const entries = usePaced(given, PACE_MS);
  const [filter, setFilter] = useState<Filter>(NO_FILTER);
  const [held, setHeld] = useState<Held>(null);
  const [limit, setLimit] = useState(STEP);
  const list = useRef<HTMLDivElement>(null);
  const items = useRef(new Items()).current.of(entries);
  const { items: shown, unread } = useMemo(() => view(items, held, filter), [items, held, filter]);

  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = list.current as HTMLDivElement;
    if (scrollTop <= 0) {
      setHeld(null);
      setLimit(STEP);
      return;
    }
    if (held === null) setHeld(items);
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX && limit < shown.length) {
      setLimit(limit + STEP);
    }
  };
  const toTop = () => {
    setHeld(null);
    setLimit(STEP);
    list.current?.scrollTo({ top: 0 });
    list.current?.focus({ preventScroll: true });
  };
  return (
    <Panel title="Decisions" channel={decisions} className="decisions-panel">
      <Filters filter={filter} change={setFilter} />
      <div className="feed-frame">
        {unread > 0 && (
          <button type="button" className="pill" onClick={toTop}>
            {unread} new {unread === 1 ? "decision" : "decisions"}
          </button>
        )}
        <section
          ref={list}
          className="feed"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
          tabIndex={0}
          aria-label="Decisions, newest first"
          onScroll={scrolled}
        >
          {shown.length === 0 ? (
            <p className="empty">{emptyText(state, items.length)}</p>
          ) : (
            <ol>
              {shown.slice(0, limit).map((item) => (
                <Card key={item.key} item={item} />
              ))}
            </ol>
          )}
        </section>
      </div>
    </Panel>
  );
}

function emptyText(state: string, known: number): string {
  if (known > 0) return "No decision passes the filter";
  return state === "waiting" ? "Waiting for decisions …" : "No decisions yet";
}

const ACTIONS = ["BUY", "SELL", "HOLD"] as const;

interface FiltersProps {
  readonly filter: Filter;
  readonly change: (filter: Filter) => void;
}

function Filters({ filter, change }: FiltersProps) {
  const { actions, onlyExecuted, search } = filter;
  const toggle = (action: string) => {
    const others = actions.filter((each) => each !== action);
    change({ ...filter, actions: others.length < actions.length ? others : [...actions, action] });
  };
  return (
    <div className="filters">
      <fieldset className="chips">
        <legend className="unseen">Decisions shown</legend>
        {ACTIONS.map((action) => (
          <button
            type="button"
            className="chip"
            key={action}
            aria-pressed={actions.includes(action)}
            onClick={() => toggle(action)}
          >
            {action.charAt(0) + action.slice(1).toLowerCase()}
          </button>
        ))}
        <button
          type="button"
          className="chip"
          aria-pressed={onlyExecuted}
          onClick={() => change({ ...filter, onlyExecuted: !onlyExecuted })}
        >
          Executed
        </button>
      </fieldset>
      <input
        type="search"
        aria-label="Search decisions"
        placeholder="Search"
        value={search}
        onChange={({ target }) => change({ ...filter, search: target.value })}
      />
    </div>
  );
}

const Card = memo(function Card({ item }: { readonly item: Item }) {
  const { action, pair, confidence, executed, size, price, provider } = item.decision;
  const when = useHubTimeAs((now) => asMoment(item.at, now));
  return (
    <li className="decision">
      <div className="decision-head">
        <Badge word={action} />
        <strong>{pair}</strong>
        {confidence !== null && <Confidence value={confidence} />}
        <time dateTime={new Date(item.at).toISOString()} title={asClock(item.at)}>
          {when}
        </time>
      </div>
      <Reasoning text={item.decision.reasoning} />
      <p className="facts">
        {executed && <Badge word="executed" tone="accent" />}
        {!executed && action !== "HOLD" && <Badge word="not executed" />}
        {size !== null && (
          <span>
            size <Amount text={size} />
          </span>
        )}
        {price !== null && (
          <span>
            at <Amount text={price} />
          </span>
        )}
        {provider !== null && <span>by {provider}</span>}
      </p>
    </li>
  );
});

function Confidence({ value }: { readonly value: number }) {
  return (
    <span className="confidence">
      <meter min={0} max={100} value={value} aria-label="Confidence" />
      <span>{Math.round(value)} %</span>
    </span>
  );
}

function Reasoning({ text }: { readonly text: string }) {
  const [isOpen, setOpen] = useState(false);
  if (text === "") return null;
  const isLong = text.length > LONG;
  return (
    <div className="reasoning" data-open={isOpen}>
      <p>{text}</p>
      {isLong && (
        <button
          type="button"
          className="link"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          {isOpen ? "less" : "more"}
        </button>
      )}
    </div>
  );
}
