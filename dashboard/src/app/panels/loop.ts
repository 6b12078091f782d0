/** The steps of an agent's loop, in their order. */
export const STEPS = [
  { name: "IDLE", title: "Idle" },
  { name: "PERCEPTION", title: "Perceive" },
  { name: "REASONING", title: "Reason" },
  { name: "RISK_CHECK", title: "Risk check" },
  { name: "EXECUTION", title: "Execute" },
  { name: "LEARNING", title: "Learn" },
] as const;

const GAP_DEGREES = 7;
const CENTRE = 50;

/** The arc of one of `count` steps on a circle, clockwise from the top, as an SVG path. */
export function arc(index: number, count: number, radius: number): string {
  const share = 360 / count;
  const from = index * share - share / 2 + GAP_DEGREES / 2;
  const to = from + share - GAP_DEGREES;
  return `M ${onCircle(from, radius)} A ${radius} ${radius} 0 0 1 ${onCircle(to, radius)}`;
}

function onCircle(degrees: number, radius: number): string {
  const angle = ((degrees - 90) * Math.PI) / 180;
  const [x, y] = [CENTRE + radius * Math.cos(angle), CENTRE + radius * Math.sin(angle)];
  return `${x.toFixed(2)} ${y.toFixed(2)}`;
}
