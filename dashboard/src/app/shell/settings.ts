// What a viewer chose, kept in this browser.

import { useSyncExternalStore } from "react";
import { browserMemory, recall, remember } from "../data/memory.ts";

const memory = browserMemory();

/** One choice among names. */
export class Setting<Name extends string> {
  readonly names: readonly Name[];
  #key: string;
  #value: Name;
  #listeners = new Set<() => void>();

  /** The first name counts where nothing was chosen. */
  constructor(key: string, names: readonly [Name, ...Name[]]) {
    this.names = names;
    this.#key = key;
    const kept = recall(memory, key);
    this.#value = names.find((name) => name === kept) ?? names[0];
  }

  readonly get = (): Name => this.#value;

  readonly set = (value: Name): void => {
    this.#value = value;
    remember(memory, this.#key, value);
    for (const listener of [...this.#listeners]) listener();
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export const theme = new Setting("theme", ["system", "dark", "light"]);
export const notifying = new Setting("notify", ["off", "on"]);

export function useSetting<Name extends string>(setting: Setting<Name>): Name {
  return useSyncExternalStore(setting.subscribe, setting.get);
}

/** Have the page look as was chosen, now and after each choice. */
export function applyTheme(root: HTMLElement): void {
  const apply = () => {
    const chosen = theme.get();
    if (chosen === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen;
  };
  apply();
  theme.subscribe(apply);
}
