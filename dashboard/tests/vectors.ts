import { readFileSync } from "node:fs";
import type { Pushed, Reply } from "../src/client/protocol.ts";

interface Vectors {
  readonly frames: {
    readonly frames: readonly { readonly frame: string; readonly text: string }[];
  };
  readonly commands: {
    readonly accepted: readonly { readonly method: string; readonly text: string }[];
  };
  readonly envelopes: {
    readonly chains: readonly {
      readonly name: string;
      readonly entries: readonly { readonly text: string }[];
    }[];
  };
}

/** The golden texts in tests/vectors, which pytest reads too. */
export function vectors<Name extends keyof Vectors>(name: Name): Vectors[Name] {
  const file = new URL(`../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as Vectors[Name];
}

/** The golden frames of one sort, read. */
export function golden(frame: string): (Pushed | Reply)[] {
  const { frames } = vectors("frames");
  return frames
    .filter((each) => each.frame === frame)
    .map((each) => JSON.parse(each.text) as Pushed);
}
