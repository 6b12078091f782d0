// An agent's settings, as far as a form of one field can change them. Pure.

import { decimal } from "../money/decimal.ts";

export type Setting = string | number;

/** The settings that are numbers or text, by name. */
export function settingsOf(
  config: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, Setting> {
  const entries = Object.entries(config).filter(
    (entry): entry is [string, Setting] =>
      typeof entry[1] === "number" || typeof entry[1] === "string",
  );
  return new Map(entries);
}

/** What was typed, of the same sort as what is there; null where it is not. */
export function readSetting(typed: string, before: Setting): Setting | null {
  const trimmed = typed.trim();
  const isDecimal = decimal(trimmed) !== null;
  // Money is text on the wire, and so are an agent's exact numbers.
  if (typeof before === "string") {
    return decimal(before) === null ? trimmed || null : isDecimal ? trimmed : null;
  }
  return isDecimal ? Number(trimmed) : null;
}
