import { useSyncExternalStore } from "react";

export const PAGES = [
  { hash: "#/", title: "Dashboard" },
  { hash: "#/hub", title: "Hub" },
  { hash: "#/dev", title: "Developer" },
] as const;

export type PageHash = (typeof PAGES)[number]["hash"];

/** The page that the address names; the first for any other. */
export function pageOf(hash: string): PageHash {
  return PAGES.find((page) => page.hash === hash)?.hash ?? "#/";
}

export function usePage(): PageHash {
  return useSyncExternalStore(subscribe, () => pageOf(location.hash));
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}
