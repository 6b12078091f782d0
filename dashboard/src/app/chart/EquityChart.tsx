import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import type { Range } from "../equity/history.ts";
import type { Marker } from "../equity/markers.ts";
import { asText } from "../money/format.ts";
import { useHubTimeAs, useSeat } from "../session/context.ts";
import type { Ledger } from "../session/ledger.ts";
import { asClock, asMoment } from "../time/format.ts";
import type { Colors } from "./colors.ts";
import { drawMarks, markerNear } from "./marks.ts";
import { amountAxis, Plot, timeAxis } from "./plot.ts";
import { type Shown, shownOf } from "./window.ts";

const OFTEN_MS = 100;
const PIXELS = 1000;

export interface EquityChartProps {
  readonly range: Range;
  readonly marks: Readonly<Record<Marker["kind"], boolean>>;
}

/** The course of equity, with what was decided and traded on the way. */
export function EquityChart({ range, marks }: EquityChartProps) {
  const { desk, ledger } = useSeat();
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const [isEmpty, setEmpty] = useState(ledger.equity.history.last === null);
  useEffect(() => {
    const isLive = () => desk.channel(ledger.account.portfolio).getSnapshot().state === "live";
    const until = () => (isLive() ? Date.now() - (desk.client.stats.clockSkewMs ?? 0) : 0);
    const drawn = new Chart(
      box.current as HTMLDivElement,
      tip.current as HTMLDivElement,
      ledger,
      until,
    );
    chart.current = drawn;
    const mark = () => {
      setEmpty(ledger.equity.history.last === null);
      drawn.mark();
    };
    const stop = ledger.equity.subscribe(mark);
    // The right edge is now, also where nothing changes.
    const timer = setInterval(mark, 1000);
    return () => {
      stop();
      clearInterval(timer);
      drawn.destroy();
    };
  }, [desk, ledger]);
  useEffect(() => chart.current?.show(range, marks), [range, marks]);
  return (
    <figure className="chart" data-empty={isEmpty}>
      <div ref={box} className="plot" aria-hidden="true" />
      <div ref={tip} className="tip" aria-hidden="true" hidden />
      {isEmpty && <p className="empty">No course of equity yet</p>}
      <figcaption className="unseen">
        <Summary ledger={ledger} range={range} />
      </figcaption>
    </figure>
  );
}

/** The chart in words, for those who do not see it. */
function Summary({ ledger, range }: { readonly ledger: Ledger; readonly range: Range }) {
  return useHubTimeAs((now) => {
    // Said anew every half minute: it is read out, not watched.
    const shown = shownOf(ledger.equity.history, range, Math.floor(now / 30_000) * 30_000);
    if (shown === null) return "Equity: nothing is known yet.";
    const { tier, first, from, to } = shown;
    const texts = tier.texts.slice(first);
    let [low, high] = [first, first];
    for (let i = first; i < tier.values.length; i += 1) {
      if ((tier.values[i] as number) < (tier.values[low] as number)) low = i;
      if ((tier.values[i] as number) > (tier.values[high] as number)) high = i;
    }
    const say = (index: number) => asText(tier.texts[index] ?? "0");
    const span = `from ${asMoment(from * 1000, now)} to ${asMoment(to * 1000, now)}`;
    return `Equity ${span}: began at ${asText(texts[0] ?? "0")}, lowest ${say(low)}, highest ${say(high)}.`;
  });
}

class Chart {
  #plot: Plot;
  #tip: HTMLElement;
  #ledger: Ledger;
  #range: Range | null = null;
  #marks: EquityChartProps["marks"] = { decision: true, trade: true };
  #shown: Shown | null = null;
  #markers: readonly Marker[] = [];

  constructor(box: HTMLElement, tip: HTMLElement, ledger: Ledger, until: () => number) {
    this.#tip = tip;
    this.#ledger = ledger;
    this.#plot = new Plot(box, {
      options: (colors) => this.#options(colors),
      everyMs: () => this.#everyMs,
      read: () => {
        if (this.#range === null) return null;
        this.#shown = shownOf(ledger.equity.history, this.#range, until());
        if (this.#shown !== null) this.#choose(this.#shown);
        return this.#shown;
      },
    });
  }

  readonly mark = (): void => this.#plot.mark();

  show(range: Range, marks: EquityChartProps["marks"]): void {
    this.#range = range;
    this.#marks = marks;
    this.mark();
  }

  destroy(): void {
    this.#plot.destroy();
  }

  /** Oftener than a pixel's time nobody would see a difference. */
  get #everyMs(): number {
    const { from, to } = this.#shown ?? { from: 0, to: 0 };
    return Math.max(OFTEN_MS, Math.min(2000, ((to - from) * 1000) / PIXELS));
  }

  #choose({ from, to }: Shown): void {
    this.#markers = this.#ledger.markers.all.filter(
      ({ kind, at }) => this.#marks[kind] && at >= from * 1000 && at <= to * 1000,
    );
  }

  #options(colors: Colors): Omit<uPlot.Options, "width" | "height"> {
    return {
      padding: [14, 0, 0, 8],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 8 } },
      scales: { x: { time: true, auto: false }, y: { range: withRoom } },
      axes: [timeAxis(colors), amountAxis(colors)],
      series: [
        {},
        {
          stroke: colors.accent,
          width: 1.75,
          fill: (plot) => shade(plot, colors),
          ...(uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
          points: { show: false },
        },
      ],
      hooks: {
        draw: [(plot) => drawMarks(plot, this.#markers, (ms) => this.#valueAt(ms), colors)],
        setCursor: [(plot) => this.#point(plot)],
      },
    };
  }

  #valueAt(ms: number): number | null {
    const { tier } = this.#shown ?? {};
    return tier?.values[tier.indexAt(ms)] ?? null;
  }

  /** Say in words what is under the cursor. */
  #point(plot: uPlot): void {
    const { left = -1, idx } = plot.cursor;
    const { tier, first } = this.#shown ?? {};
    if (left < 0 || idx == null || tier === undefined || first === undefined) {
      this.#tip.hidden = true;
      return;
    }
    const index = Math.min(first + idx, tier.texts.length - 1);
    const marker = markerNear(plot, this.#markers, left);
    const at = (tier.times[index] ?? 0) * 1000;
    const lines = [`${asClock(at)}  ${asText(tier.texts[index] ?? "0")}`];
    if (marker !== null) lines.push(`${asClock(marker.at)}  ${marker.text}`);
    this.#tip.textContent = lines.join("\n");
    this.#tip.hidden = false;
    const room = plot.width - this.#tip.offsetWidth - 8;
    const offset = plot.over.offsetLeft + left + 14;
    this.#tip.style.transform = `translate(${Math.max(0, Math.min(offset, room))}px, 8px)`;
  }
}

function withRoom(_plot: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.14, Math.abs(high) * 0.00005, 0.01);
  return [low - room, high + room];
}

function shade(plot: uPlot, colors: Colors): CanvasGradient | string {
  const { top, height } = plot.bbox;
  if (!Number.isFinite(height) || height <= 0) return "transparent";
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, colors["accent-soft"]);
  gradient.addColorStop(1, "transparent");
  return gradient;
}
