// Decimals as they are shown. Digits are grouped and split as text, never rounded: what does not
// fit the two places of money is shown smaller, not left out.

import { signOf } from "./decimal.ts";

export interface Shown {
  /** Sign, grouped whole digits, and as many places as are usual. */
  readonly main: string;
  /** The places beyond them. */
  readonly rest: string;
}

export interface Style {
  /** A plus in front of what is above zero. */
  readonly signed?: boolean;
  /** How many places stand in `main`; as many as there are where it is not given. */
  readonly places?: number;
}

const MINUS = "\u2212";
const THOUSANDS = /\B(?=(\d{3})+$)/g;

export function showDecimal(text: string, { signed = false, places }: Style = {}): Shown {
  const [whole = "", fraction = ""] = text.replace(/^[+-]/, "").split(".");
  const sign = signOf(text);
  const mark = sign < 0 ? MINUS : signed && sign > 0 ? "+" : "";
  const grouped = whole.replace(/^0+(?=\d)/, "").replace(THOUSANDS, ",");
  const shown = fraction.slice(0, places).padEnd(places ?? 0, "0");
  return {
    main: mark + grouped + (shown && `.${shown}`),
    rest: places === undefined ? "" : fraction.slice(places),
  };
}

/** The same as one text, with all its digits. */
export function asText(text: string, style: Style = {}): string {
  const { main, rest } = showDecimal(text, style);
  return main + rest;
}
