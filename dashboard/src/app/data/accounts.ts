// An account's channels are those with its key: `portfolio:acct-7`, `positions:acct-7`. Without a
// key they are the only account's.

/** The channels of one account. */
export interface Account {
  /** "" for the one without a key. */
  readonly key: string;
  readonly portfolio: string;
  readonly positions: string;
  readonly decisions: string;
  readonly agent: string;
  readonly status: string;
  readonly health: string;
  readonly alerts: string;
  readonly commands: string;
}

const STREAMS = [
  "portfolio",
  "positions",
  "decisions",
  "agent",
  "status",
  "health",
  "alerts",
  "commands",
] as const;

export function accountOf(key: string): Account {
  const named = STREAMS.map((stream) => [stream, key === "" ? stream : `${stream}:${key}`]);
  return { key, ...Object.fromEntries(named) } as Account;
}

/** The keys of all accounts that have a portfolio or positions among these channels, in order. */
export function accountKeys(channels: readonly string[]): readonly string[] {
  const keys = new Set<string>();
  for (const channel of channels) {
    const [stream, ...parts] = channel.split(":");
    if (stream === "portfolio" || stream === "positions") keys.add(parts.join(":"));
  }
  return [...keys].sort();
}
