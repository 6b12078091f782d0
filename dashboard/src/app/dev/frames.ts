// What crossed the socket lately, bounded in number and in size. Tokens are never kept.

export type Direction = "in" | "out";

export interface Frame {
  /** Counts all frames since the page was opened. */
  readonly n: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly direction: Direction;
  readonly text: string;
}

const MAX_FRAMES = 1000;
const MAX_CHARACTERS = 2_000_000;

/** A ring of frames. Keeping one costs next to nothing: nobody may be looking. */
export class Frames {
  total = 0;
  #frames: Frame[] = [];
  #characters = 0;
  #first = 0;

  add(direction: Direction, text: string, at: number): Frame {
    this.total += 1;
    const frame = { n: this.total, at, direction, text: withoutToken(direction, text) };
    this.#frames.push(frame);
    this.#characters += frame.text.length;
    while (this.#length > MAX_FRAMES || (this.#characters > MAX_CHARACTERS && this.#length > 1)) {
      this.#characters -= this.#frames[this.#first]?.text.length ?? 0;
      this.#first += 1;
    }
    // Cut now and then: to shift at every frame is dear.
    if (this.#first > MAX_FRAMES) {
      this.#frames = this.#frames.slice(this.#first);
      this.#first = 0;
    }
    return frame;
  }

  /** Those that are kept, oldest first. */
  get all(): readonly Frame[] {
    return this.#frames.slice(this.#first);
  }

  get #length(): number {
    return this.#frames.length - this.#first;
  }
}

/** The newest frames that have all words of a filter, newest first. */
export function matching(
  frames: readonly Frame[],
  filter: string,
  limit: number,
): readonly Frame[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found: Frame[] = [];
  for (let i = frames.length - 1; i >= 0 && found.length < limit; i -= 1) {
    const frame = frames[i] as Frame;
    const text = `${frame.direction} ${frame.text}`.toLowerCase();
    if (words.every((word) => text.includes(word))) found.push(frame);
  }
  return found;
}

function withoutToken(direction: Direction, text: string): string {
  if (direction === "in" || !text.includes('"token"')) return text;
  return JSON.stringify(JSON.parse(text), (name, value: unknown) =>
    name === "token" ? "..." : value,
  );
}
