/** What JSON makes of `data`, so that later changes of it are not published. */
export function copy(data: unknown): unknown {
  const text = JSON.stringify(data, (name, value: unknown) => {
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new TypeError(`expected a finite number, got ${value} at ${name || "the top"}`);
    }
    return value;
  });
  if (text === undefined) throw new TypeError(`expected what JSON can say, got ${typeof data}`);
  return JSON.parse(text);
}
