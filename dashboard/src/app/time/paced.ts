import { useEffect, useRef, useState } from "react";

/**
 * What was given last, so often and no oftener: the first change is shown at once, what follows
 * within `everyMs` at its end.
 */
export function usePaced<T>(given: T, everyMs: number): T {
  const [shown, show] = useState(given);
  const shownAt = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    if (given === shown) return undefined;
    const take = () => {
      shownAt.current = performance.now();
      show(given);
    };
    const wait = shownAt.current + everyMs - performance.now();
    if (wait <= 0) {
      take();
      return undefined;
    }
    const timer = setTimeout(take, wait);
    return () => clearTimeout(timer);
  }, [given, shown, everyMs]);
  return shown;
}
