// What producers send is their word. Whatever it is, it is read field by field, and a field that
// is not what it should be is missing: a page that breaks shows no number at all.

import { decimal } from "../money/decimal.ts";

export type Fields = Readonly<Record<string, unknown>>;

const NONE: Fields = {};

export function fields(value: unknown): Fields {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Fields) : NONE;
}

export function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

export function count(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function flag(value: unknown): boolean {
  return value === true;
}

export { decimal as money };

/** One of the names, or null. */
export function oneOf<Name extends string>(names: readonly Name[], value: unknown): Name | null {
  return names.find((name) => name === value) ?? null;
}
