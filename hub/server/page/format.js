// Numbers and times as text. Money comes as decimal strings and is never made a number here:
// digits are grouped, compared and split as text, so that what is shown is what was sent.

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/** {negative, whole, fraction} of a decimal, or null where the text is none. */
export function readDecimal(text) {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const [, sign, whole, fraction = ""] = match;
  return { negative: sign === "-", whole: whole.replace(/^0+(?=\d)/, ""), fraction };
}

/** -1, 0 or 1: the sign of a decimal string; 0 for what is no decimal. */
export function signOf(text) {
  const decimal = readDecimal(text);
  if (decimal === null || !/[1-9]/.test(decimal.whole + decimal.fraction)) return 0;
  return decimal.negative ? -1 : 1;
}

/** -1, 0 or 1: how two decimal strings compare; 0 where either is none. */
export function compareDecimals(a, b) {
  const [left, right] = [readDecimal(a), readDecimal(b)];
  if (left === null || right === null) return 0;
  const [signA, signB] = [signOf(a), signOf(b)];
  if (signA !== signB) return signA < signB ? -1 : 1;
  const places = Math.max(left.fraction.length, right.fraction.length);
  const [digitsA, digitsB] = [left, right].map((d) => d.whole + d.fraction.padEnd(places, "0"));
  const width = Math.max(digitsA.length, digitsB.length);
  const [x, y] = [digitsA.padStart(width, "0"), digitsB.padStart(width, "0")];
  return x === y ? 0 : (x < y ? -1 : 1) * signA;
}

/** The parts to show of a number: sign, grouped whole digits, two decimals, and those beyond. */
export function partsOf(text, { signed = false, whole: together = false } = {}) {
  const decimal = readDecimal(text);
  if (decimal === null) return { main: text, rest: "" };
  const sign = decimal.negative ? "\u2212" : signed && signOf(text) > 0 ? "+" : "";
  const whole = decimal.whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const places = together ? decimal.fraction.length : 2;
  const shown = decimal.fraction.slice(0, places);
  return { main: sign + whole + (shown && `.${shown}`), rest: decimal.fraction.slice(places) };
}

/** Any value of a payload as one line of text. */
export function asText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}

/** "unrealized_pnl" as "Unrealized P&L". */
export function asTitle(name) {
  const words = name.replace(/[_.:-]+/g, " ").trim().replace(/\bpnl\b/gi, "P&L");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** hh:mm:ss in the viewer's zone. */
export function asClock(milliseconds) {
  return clock.format(milliseconds);
}

/** hh:mm:ss of today, else with its day. */
export function asMoment(milliseconds) {
  const today = new Date().toDateString() === new Date(milliseconds).toDateString();
  return (today ? clock : dayAndClock).format(milliseconds);
}

/** How long something took or lies back: "4 s", "12 min", "3 h 5 min", "2 d 4 h". */
export function asDuration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
