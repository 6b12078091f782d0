const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const shortClock = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** hh:mm:ss in the viewer's zone. */
export function asClock(ms: number): string {
  return clock.format(ms);
}

/** hh:mm in the viewer's zone. */
export function asShortClock(ms: number): string {
  return shortClock.format(ms);
}

/** "3 Jan" in the viewer's zone. */
export function asDay(ms: number): string {
  return day.format(ms);
}

/** hh:mm:ss of today, else with its day in front. */
export function asMoment(ms: number, now: number): string {
  return startOfDay(ms) === startOfDay(now) ? asClock(ms) : `${day.format(ms)} ${asClock(ms)}`;
}

/** How long something lasts: "4 s", "12 min", "3 h 5 min", "2 d 4 h". */
export function asDuration(ms: number): string {
  if (ms < MINUTE) return `${Math.max(0, Math.floor(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return pair(ms, HOUR, "h", MINUTE, "min");
  return pair(ms, DAY, "d", HOUR, "h");
}

/** The local midnight at or before a moment. */
export function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** A time of a payload, RFC 3339, in milliseconds; null for what is none. */
export function readTime(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

function pair(ms: number, large: number, name: string, small: number, part: string): string {
  const rest = Math.floor((ms % large) / small);
  const whole = `${Math.floor(ms / large)} ${name}`;
  return rest === 0 ? whole : `${whole} ${rest} ${part}`;
}
