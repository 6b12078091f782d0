export type Flash = "up" | "down";

const LASTS_MS = 700;
/** Where everything flashes, nobody sees anything, and the page has work to do. */
const MOST = 20;

const still = matchMedia("(prefers-reduced-motion: reduce)");
const lit = new WeakSet<Element>();
let count = 0;

/**
 * Light an element up for a moment, and then leave it as it was. Only the opacity of what lies
 * behind the text moves, which browsers do without the page's own thread.
 */
export function flash(element: HTMLElement, kind: Flash): void {
  if (still.matches || lit.has(element) || count >= MOST) return;
  lit.add(element);
  count += 1;
  element.dataset.flash = kind;
  const moving = element.animate([{ opacity: 1 }, { opacity: 0 }], {
    duration: LASTS_MS,
    easing: "ease-in",
    pseudoElement: "::before",
  });
  const end = () => {
    if (!lit.delete(element)) return;
    count -= 1;
    delete element.dataset.flash;
  };
  moving.addEventListener("finish", end);
  // Of an element that is gone.
  moving.addEventListener("cancel", end);
}
