// What a browser remembers for this page. It may be denied its storage, or have none left: then
// nothing is remembered, and all else goes on.

/** The part of localStorage that is used. */
export type Memory = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export function recall(memory: Memory, name: string): string | null {
  return attempt(() => memory.getItem(`tapecast.${name}`));
}

export function remember(memory: Memory, name: string, text: string): void {
  attempt(() => memory.setItem(`tapecast.${name}`, text));
}

export function forget(memory: Memory, name: string): void {
  attempt(() => memory.removeItem(`tapecast.${name}`));
}

/** This browser's memory, or one that lasts as long as the page. */
export function browserMemory(): Memory {
  return attempt(() => window.localStorage) ?? pageMemory();
}

export function pageMemory(): Memory {
  const kept = new Map<string, string>();
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, text) => void kept.set(name, text),
    removeItem: (name) => void kept.delete(name),
  };
}

function attempt<T>(run: () => T): T | null {
  try {
    return run();
  } catch {
    return null;
  }
}
