// uPlot, as every chart of the page has it: sized by its box, coloured by the theme, drawn at a
// pace. uPlot writes styles through the DOM's own properties alone, which the policy allows.

import uPlot from "uplot";
import { asClock, asDay, asShortClock, startOfDay } from "../time/format.ts";
import { type Colors, readColors, watchTheme } from "./colors.ts";
import { Pacer, watchSight } from "./pacer.ts";

export interface PlotSpec {
  /** uPlot's options but for the size, in the colours of the theme. */
  readonly options: (colors: Colors) => Omit<uPlot.Options, "width" | "height">;
  /** What is shown now, and from when to when, in seconds; null where there is nothing. */
  readonly read: () => { data: uPlot.AlignedData; from: number; to: number } | null;
  readonly everyMs: () => number;
}

/** A chart that lives in an element. */
export class Plot {
  plot: uPlot | null = null;
  #element: HTMLElement;
  #spec: PlotSpec;
  #pacer: Pacer;
  #undo: (() => void)[];

  constructor(element: HTMLElement, spec: PlotSpec) {
    this.#element = element;
    this.#spec = spec;
    this.#pacer = new Pacer(() => this.#draw(), spec.everyMs);
    const resized = new ResizeObserver(() => this.#resize());
    resized.observe(element);
    this.#undo = [
      () => resized.disconnect(),
      watchTheme(() => this.#rebuild()),
      watchSight(element, (isSeen) => {
        this.#pacer.isSeen = isSeen;
      }),
    ];
    this.#rebuild();
  }

  /** There is something new to show. */
  readonly mark = (): void => this.#pacer.mark();

  destroy(): void {
    this.#pacer.stop();
    for (const undo of this.#undo) undo();
    this.plot?.destroy();
    this.plot = null;
  }

  #rebuild(): void {
    this.plot?.destroy();
    const { clientWidth: width, clientHeight: height } = this.#element;
    const options = this.#spec.options(readColors(this.#element));
    const none: uPlot.AlignedData = [[], ...options.series.slice(1).map(() => [])];
    this.plot = new uPlot({ ...options, width, height }, none, this.#element);
    this.mark();
  }

  #resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#element;
    if (width > 0 && height > 0) this.plot?.setSize({ width, height });
  }

  #draw(): void {
    const shown = this.#spec.read();
    const { plot } = this;
    if (shown === null || plot === null) return;
    plot.batch(() => {
      plot.setData(shown.data, false);
      plot.setScale("x", { min: shown.from, max: shown.to });
    });
  }
}

const FONT = "11px system-ui, sans-serif";

export function timeAxis(colors: Colors): uPlot.Axis {
  return {
    values: (plot, splits, _axis, _space, step) =>
      // A text at the edge would be cut in two.
      splits.map((at) => (plot.valToPos(at, "x") < EDGE_PX ? "" : asTimeTick(at * 1000, step))),
    stroke: colors.dim,
    font: FONT,
    size: 28,
    gap: 6,
    grid: { show: false },
    ticks: { show: false },
    space: 70,
  };
}

export function amountAxis(colors: Colors, extra: Partial<uPlot.Axis> = {}): uPlot.Axis {
  return {
    stroke: colors.dim,
    font: FONT,
    side: 1,
    size: (plot, values) => widest(plot, values),
    gap: 8,
    space: 34,
    grid: { stroke: colors.line, width: 1 },
    ticks: { show: false },
    ...extra,
  };
}

const EDGE_PX = 22;

/** step: seconds from one tick to the next. */
function asTimeTick(ms: number, step: number): string {
  if (step >= 86_400 || startOfDay(ms) === ms) return asDay(ms);
  return step < 60 ? asClock(ms) : asShortClock(ms);
}

function widest(plot: uPlot, values: string[] | null): number {
  const longest = (values ?? []).reduce(
    (most, each) => (each.length > most.length ? each : most),
    "",
  );
  if (longest === "") return 40;
  plot.ctx.font = FONT;
  return Math.ceil(plot.ctx.measureText(longest).width) + 18;
}
