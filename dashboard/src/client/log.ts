export type Log = (line: string) => void;

/** Writes to the console where `localStorage.debug` names tapecast, and nowhere elsewhere. */
export function debugLog(): Log | null {
  let wanted: string | null = null;
  try {
    wanted = globalThis.localStorage?.getItem("debug") ?? null;
  } catch {
    // A page may be denied its storage.
  }
  if (wanted === null || !/(^|[\s,])(tapecast|\*)($|[\s,:])/.test(wanted)) return null;
  // biome-ignore lint/suspicious/noConsole: this is what was asked for.
  return (line) => console.debug(`tapecast ${line}`);
}

/** A frame in one line, without what it carries: data, and tokens that nobody may read. */
export function briefly(frame: unknown): string {
  return JSON.stringify(frame, (name, value: unknown) =>
    /^(data|token)$/.test(name) ? "..." : value,
  );
}
