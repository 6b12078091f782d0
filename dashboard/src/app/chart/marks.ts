import type uPlot from "uplot";
import type { Marker } from "../equity/markers.ts";
import type { Colors } from "./colors.ts";

const REACH_PX = 14;
const OFF_PX = 11;
const SIZE_PX = 4;
const CROWD_PX = 15;

/** The marker next to a place on the chart, in CSS pixels; null where none is near. */
export function markerNear(plot: uPlot, markers: readonly Marker[], left: number): Marker | null {
  let nearest: Marker | null = null;
  let distance = REACH_PX;
  for (const marker of markers) {
    const away = Math.abs(plot.valToPos(marker.at / 1000, "x") - left);
    if (away > distance) continue;
    nearest = marker;
    distance = away;
  }
  return nearest;
}

/** Draw what is within the chart: decisions as triangles, hollow where not executed, trades as dots. */
export function drawMarks(
  plot: uPlot,
  markers: readonly Marker[],
  yAt: (ms: number) => number | null,
  colors: Colors,
): void {
  const { ctx } = plot;
  const scale = devicePixelRatio;
  const { min = 0, max = 0 } = plot.scales.x ?? {};
  ctx.save();
  ctx.lineWidth = 1.5 * scale;
  const lastX: Record<string, number> = {};
  for (const marker of markers) {
    const seconds = marker.at / 1000;
    const value = yAt(marker.at);
    if (value === null || seconds < (min ?? 0) || seconds > (max ?? 0)) continue;
    const x = plot.valToPos(seconds, "x", true);
    const y = plot.valToPos(value, "y", true);
    const isBuy = marker.action === "BUY";
    // Where they crowd, some stand for all.
    const kind = `${marker.kind} ${isBuy}`;
    if (x - (lastX[kind] ?? Number.NEGATIVE_INFINITY) < CROWD_PX * scale) continue;
    lastX[kind] = x;
    ctx.fillStyle = ctx.strokeStyle = isBuy ? colors.gain : colors.loss;
    ctx.beginPath();
    if (marker.kind === "trade") {
      ctx.arc(x, y, SIZE_PX * scale, 0, 2 * Math.PI);
      ctx.fill();
      ctx.strokeStyle = colors.ground;
      ctx.stroke();
      continue;
    }
    triangle(ctx, x, y + (isBuy ? OFF_PX : -OFF_PX) * scale, SIZE_PX * scale, isBuy);
    if (marker.done) ctx.fill();
    else ctx.stroke();
  }
  ctx.restore();
}

function triangle(
  ctx: CanvasRenderingContext2D,
  x: number,
  y: number,
  size: number,
  isUp: boolean,
): void {
  const tip = isUp ? -size : size;
  ctx.moveTo(x, y + tip);
  ctx.lineTo(x + size, y - tip);
  ctx.lineTo(x - size, y - tip);
  ctx.closePath();
}
