import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { amountAxis, Plot, timeAxis } from "../chart/plot.ts";
import type { Monitor } from "./monitor.ts";
import type { Sample } from "./statistics.ts";

const SPAN_SECONDS = 300;
const LEAST_SECONDS = 60;

export interface Line {
  readonly label: string;
  readonly pick: (sample: Sample) => number | null;
}

export interface HubChartProps {
  readonly monitor: Monitor;
  readonly title: string;
  /** The value of now, in words. */
  readonly now: string;
  /** What the numbers are of, such as "a second". */
  readonly unit: string;
  readonly lines: readonly Line[];
  /** It counts whole things: no tick in between. */
  readonly whole?: boolean;
}

/** One thing that the hub counts, over the last five minutes. */
export function HubChart({ monitor, title, now, unit, lines, whole = false }: HubChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const drawn = useRef(lines);
  useEffect(() => {
    const plot = new Plot(box.current as HTMLDivElement, {
      everyMs: () => 500,
      read: () => {
        const data = monitor.columns(...drawn.current.map(({ pick }) => pick));
        const to = data[0].at(-1);
        const first = data[0][0];
        if (to === undefined || first === undefined) return null;
        return { data, from: Math.min(Math.max(to - SPAN_SECONDS, first), to - LEAST_SECONDS), to };
      },
      options: (colors) => ({
        padding: [10, 0, 0, 8],
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: true, auto: false }, y: { range: fromZero } },
        axes: [timeAxis(colors), amountAxis(colors, ticks(whole))],
        series: [
          {},
          ...drawn.current.map((_line, i) => ({
            stroke: colors[`series-${((i % 3) + 1) as 1 | 2 | 3}`],
            width: 1.75,
            spanGaps: true,
            points: { show: false },
            ...(uPlot.paths.linear ? { paths: uPlot.paths.linear() } : {}),
          })),
        ],
      }),
    });
    const stop = monitor.subscribe(plot.mark);
    plot.mark();
    return () => {
      stop();
      plot.destroy();
    };
  }, [monitor, whole]);
  return (
    <section className="panel hub-chart" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {lines.length > 1 && (
          <ul className="legend">
            {lines.map(({ label }, i) => (
              <li key={label} data-series={i + 1}>
                {label}
              </li>
            ))}
          </ul>
        )}
        <p className="value">
          {now} <small>{unit}</small>
        </p>
      </header>
      <div ref={box} className="plot" aria-hidden="true" />
    </section>
  );
}

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];

function ticks(whole: boolean): Partial<uPlot.Axis> {
  const values = { values: (_plot: uPlot, splits: number[]) => splits.map(asTick) };
  return whole ? { ...values, incrs: WHOLE } : values;
}

function fromZero(_plot: uPlot, _low: number | null, high: number | null): uPlot.Range.MinMax {
  return [0, Math.max(1, (high ?? 0) * 1.15)];
}

export function asTick(value: number): string {
  if (value >= 1e6) return `${trimmed(value / 1e6)} M`;
  if (value >= 1e4) return `${trimmed(value / 1e3)} k`;
  return value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });
}

function trimmed(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 1 });
}
