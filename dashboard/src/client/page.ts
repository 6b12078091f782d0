/** What a page hears of the browser. */
export interface PageListener {
  online(): void;
  offline(): void;
  hidden(hidden: boolean): void;
  /** It is seen again, was restored from the back-forward cache, or resumes after a freeze. */
  woke(): void;
}

/** Listen to the browser, where there is one; returns what ends it. */
export function watchPage(listener: PageListener): () => void {
  if (typeof window === "undefined" || typeof document === "undefined") return () => {};
  const ended = new AbortController();
  const { signal } = ended;
  window.addEventListener("online", () => listener.online(), { signal });
  window.addEventListener("offline", () => listener.offline(), { signal });
  window.addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) listener.woke();
    },
    { signal },
  );
  const look = () => {
    const hidden = document.visibilityState === "hidden";
    listener.hidden(hidden);
    if (!hidden) listener.woke();
  };
  document.addEventListener("visibilitychange", look, { signal });
  document.addEventListener("resume", () => listener.woke(), { signal });
  listener.hidden(document.visibilityState === "hidden");
  if (navigator.onLine === false) listener.offline();
  return () => ended.abort();
}
