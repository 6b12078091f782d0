import type { Client } from "../client/index.ts";

interface Hold {
  holders: number;
  closing: ReturnType<typeof setTimeout> | undefined;
}

const holds = new WeakMap<Client, Hold>();

/**
 * Keep a client connected until what this returns is called, and close it then where nobody else
 * holds it. StrictMode unmounts what it has just mounted and mounts it again, in one turn of the
 * loop: the client is closed in the next, so that the socket lives through that.
 */
export function hold(client: Client): () => void {
  const held = holds.get(client) ?? { holders: 0, closing: undefined };
  holds.set(client, held);
  held.holders += 1;
  clearTimeout(held.closing);
  client.connect();
  return () => {
    held.holders -= 1;
    if (held.holders > 0) return;
    held.closing = setTimeout(() => client.close(), 0);
  };
}
