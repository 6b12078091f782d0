import type { CommandState, Publish, SentCommand } from "../client/protocol.ts";

/** What a step says besides: what it came to, or why it failed. */
export interface Outcome {
  readonly result?: unknown;
  readonly reason?: string;
  readonly worker?: string | null;
  readonly attempt?: number;
}

/** The first part of a channel's name. */
export function streamOf(channel: string): string {
  return channel.split(":", 1)[0] ?? "";
}

/** Whether commands travel there. */
export function isCommands(channel: string): boolean {
  return streamOf(channel) === "commands";
}

/** The commands that a fake hub has taken. */
export class Taken {
  #commands = new Map<string, { readonly channel: string; readonly event: string }>();

  /** Take one: the answer's part, and the entry of the log. */
  take({ channel, event, data, expires_in_ms }: Publish): { command: SentCommand; entry: object } {
    const id = `c${this.#commands.size + 1}`;
    this.#commands.set(id, { channel, event });
    const expires_at = (Date.now() + (expires_in_ms ?? 30_000)) * 1000;
    return {
      command: { id, state: "sent", expires_at },
      entry: { id, sender: "test", expires_at, data: data ?? {} },
    };
  }

  /** A step of one: its channel, its event, and the entry of the log. */
  step(id: string, state: CommandState, outcome: Outcome) {
    const taken = this.#commands.get(id);
    if (taken === undefined) throw new Error(`expected a command that was taken, got ${id}`);
    const { channel, event } = taken;
    const { worker = "worker", attempt = 1, ...rest } = outcome;
    const entry = { id, event, sender: "test", attempt, worker, ...rest };
    return { channel, event: `command.${state}`, entry };
  }
}
