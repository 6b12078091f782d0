import { useDeferredValue, useMemo, useState, useSyncExternalStore } from "react";
import { useDesk, useSnapshot } from "../session/context.ts";
import { Age, Box } from "../shell/Panel.tsx";
import { asClock } from "../time/format.ts";
import { type Frame, matching } from "./frames.ts";
import type { Note } from "./journal.ts";

const SHOWN = 200;

/** What crosses the socket, where each channel stands, and means to break the connection. */
export function DevPage() {
  const { tap } = useDesk();
  useSyncExternalStore(tap.subscribe, tap.getVersion);
  return (
    <>
      <div className="page-head">
        <h1>Developer</h1>
        <p>What crosses the socket of this page. Tokens are never kept.</p>
      </div>
      <div className="dev-board">
        <FramesPanel />
        <div className="dev-side">
          <Faults />
          <Positions />
          <JournalPanel notes={tap.journal.notes} />
        </div>
      </div>
    </>
  );
}

function FramesPanel() {
  const { tap } = useDesk();
  const [filter, setFilter] = useState("");
  const [paused, setPaused] = useState<readonly Frame[] | null>(null);
  const wanted = useDeferredValue(filter);
  const frames = matching(paused ?? tap.frames.all, wanted, SHOWN);
  return (
    <section className="panel frames-panel" aria-label="Frames">
      <header>
        <h2>Frames</h2>
        <input
          type="search"
          aria-label="Filter frames"
          placeholder="Filter: out subscribe, portfolio …"
          value={filter}
          onChange={({ target }) => setFilter(target.value)}
        />
        <button
          type="button"
          className="small"
          aria-pressed={paused !== null}
          onClick={() => setPaused(paused === null ? tap.frames.all : null)}
        >
          {paused === null ? "Pause" : "Go on"}
        </button>
        <span className="age">{tap.frames.total.toLocaleString("en")} so far</span>
      </header>
      {frames.length === 0 && <p className="empty">No frame passes the filter</p>}
      <section
        className="frames"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
        tabIndex={0}
        aria-label="Frames, newest first"
      >
        <ol>
          {frames.map((frame) => (
            <FrameLine key={frame.n} frame={frame} />
          ))}
        </ol>
      </section>
    </section>
  );
}

const LONG = 300;

function FrameLine({ frame: { at, direction, text } }: { readonly frame: Frame }) {
  const [isOpen, setOpen] = useState(false);
  const isLong = text.length > LONG;
  const shown = useMemo(() => (isOpen ? pretty(text) : text.slice(0, LONG)), [isOpen, text]);
  return (
    <li data-direction={direction}>
      <time>{asClock(at)}</time>
      <span className="direction">{direction}</span>
      <code>{shown}</code>
      <button
        type="button"
        className="link"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        {isOpen ? "less" : isLong ? `${text.length.toLocaleString("en")} characters` : "more"}
      </button>
    </li>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Faults() {
  const { tap, client } = useDesk();
  return (
    <Box title="Faults">
      <p className="buttons">
        <button type="button" onClick={() => tap.drop()}>
          Drop the socket
        </button>
        <button
          type="button"
          aria-pressed={tap.isStalled}
          onClick={() => {
            tap.isStalled = !tap.isStalled;
          }}
        >
          {tap.isStalled ? "Let it through" : "Stall the socket"}
        </button>
        <button type="button" onClick={() => client.reconnectNow()}>
          Reconnect now
        </button>
      </p>
      <p className="hint">
        A dropped socket reconnects and resumes. A stalled one is noticed by its missing heartbeats.
      </p>
    </Box>
  );
}

function Positions() {
  const desk = useDesk();
  const channels = useSyncExternalStore(desk.subscribe, desk.getChannels);
  return (
    <Box title="Positions in channels">
      {channels.length === 0 ? (
        <p className="empty">No channels yet</p>
      ) : (
        <section
          className="sideways"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
          tabIndex={0}
          aria-label="Table of positions"
        >
          <table className="listing">
            <thead>
              <tr>
                <th scope="col">Channel</th>
                <th scope="col">Position</th>
                <th scope="col" className="figure">
                  Conflated
                </th>
                <th scope="col" className="figure">
                  Resets
                </th>
                <th scope="col">Newest</th>
              </tr>
            </thead>
            <tbody>
              {channels.map(({ name }) => (
                <PositionLine key={name} name={name} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </Box>
  );
}

function PositionLine({ name }: { readonly name: string }) {
  const { kind, position, skipped, resets } = useSnapshot(name);
  return (
    <tr>
      <th scope="row">
        {name} <small>{kind}</small>
      </th>
      <td>
        <code>{position === null ? "–" : `${position.epoch}:${position.seq}:${position.tag}`}</code>
      </td>
      <td className="figure">{skipped.toLocaleString("en")}</td>
      <td className="figure">{resets}</td>
      <td>
        <Age channel={name} />
      </td>
    </tr>
  );
}

function JournalPanel({ notes }: { readonly notes: readonly Note[] }) {
  return (
    <Box title="Gaps and resumes">
      {notes.length === 0 ? (
        <p className="empty">Nothing yet</p>
      ) : (
        <section
          className="journal"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys.
          tabIndex={0}
          aria-label="Gaps and resumes, newest first"
        >
          <ol>
            {notes.map(({ n, at, what, channel, text }) => (
              <li key={n} data-what={what}>
                <time>{asClock(at)}</time>
                <span className="what">{what}</span>
                <span>
                  <strong>{channel}</strong> {text}
                </span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </Box>
  );
}
