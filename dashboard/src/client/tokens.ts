import type { TokenReason } from "./link.ts";
import type { ClientOptions } from "./options.ts";

/** The token that is shown to the hub, and where it comes from. */
export class Tokens {
  current: string | null = null;
  /** Whether the hub has not taken `current` yet. */
  isNew = false;
  #source: ClientOptions["getToken"];
  #tell: (error: Error) => void;
  #asking = new AbortController();

  /** `tell` is told of errors of the source; they may name the token, so nothing prints them. */
  constructor(source: ClientOptions["getToken"], tell: (error: Error) => void) {
    this.#source = source;
    this.#tell = tell;
  }

  /** Ask the source; `use` what it gave, unless that is no longer wanted by then. */
  async ask(
    reason: TokenReason,
    use: (token: string | null, failed: boolean) => void,
  ): Promise<void> {
    this.cancel();
    const { signal } = this.#asking;
    let token: string | null = null;
    let failure: Error | null = null;
    try {
      token = (await this.#source?.({ reason, signal })) || null;
    } catch (error) {
      failure = new Error(`getToken failed (${reason})`, { cause: error });
    }
    if (signal.aborted) return;
    if (failure !== null) this.#tell(failure);
    if (token !== null) {
      this.current = token;
      this.isNew = true;
    }
    use(token, failure !== null);
  }

  /** What is being asked for is not wanted any more. */
  cancel(): void {
    this.#asking.abort();
    this.#asking = new AbortController();
  }
}
