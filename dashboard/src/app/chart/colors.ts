// Canvases know no style sheets: colours are read from the page's custom properties, which are
// registered as colours there, so that each is what counts in the theme of now.

const NAMES = [
  "accent",
  "accent-soft",
  "text",
  "dim",
  "line",
  "gain",
  "loss",
  "warn",
  "ground",
  "series-1",
  "series-2",
  "series-3",
] as const;

export type Colors = Readonly<Record<(typeof NAMES)[number], string>>;

export function readColors(element: Element): Colors {
  const style = getComputedStyle(element);
  const pairs = NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return Object.fromEntries(pairs) as Colors;
}

/** Call `listener` after the theme became another; returns what ends it. */
export function watchTheme(listener: () => void): () => void {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const watch = new MutationObserver(listener);
  watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  scheme.addEventListener("change", listener);
  return () => {
    watch.disconnect();
    scheme.removeEventListener("change", listener);
  };
}
