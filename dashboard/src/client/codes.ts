import { RECONNECT } from "./protocol.ts";

/**
 * Whether a client reconnects, or repeats a command, unchanged after this code. Codes without a
 * row follow their range, so that this client obeys codes to come.
 */
export function shouldReconnect(code: number): boolean {
  return RECONNECT[code] ?? (code >= 4500 && code <= 4599);
}
