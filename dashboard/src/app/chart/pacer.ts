/** Draws when something changed, so often and no oftener, and not while nobody sees it. */
export class Pacer {
  #draw: () => void;
  #everyMs: () => number;
  #isDue = false;
  #isSeen = false;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** everyMs: the shortest time between two drawings, as of now. */
  constructor(draw: () => void, everyMs: () => number) {
    this.#draw = draw;
    this.#everyMs = everyMs;
  }

  /** Something changed. */
  readonly mark = (): void => {
    this.#isDue = true;
    this.#arm();
  };

  /** Whether somebody may see it: it is on the screen, and the page is not hidden. */
  set isSeen(isSeen: boolean) {
    this.#isSeen = isSeen;
    this.#arm();
  }

  stop(): void {
    this.#isSeen = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    if (!this.#isDue || !this.#isSeen || this.#timer !== undefined) return;
    const wait = Math.max(0, this.#drawnAt + this.#everyMs() - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isSeen) return;
      this.#isDue = false;
      this.#drawnAt = performance.now();
      requestAnimationFrame(this.#draw);
    }, wait);
  }
}

/** Tell whether an element may be seen, now and whenever that changes; returns what ends it. */
export function watchSight(element: Element, tell: (isSeen: boolean) => void): () => void {
  let isOnScreen = false;
  const look = () => tell(isOnScreen && document.visibilityState === "visible");
  const observer = new IntersectionObserver((entries) => {
    isOnScreen = entries.at(-1)?.isIntersecting ?? false;
    look();
  });
  observer.observe(element);
  document.addEventListener("visibilitychange", look);
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
  };
}
