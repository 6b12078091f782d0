// What the codes of connections that ended mean, in words. The numbers are the protocol's.

import * as protocol from "../../client/protocol.ts";

const MEANINGS: Readonly<Record<number, string>> = {
  [protocol.NORMAL]: "ended by the client",
  [protocol.GOING_AWAY]: "the hub ends",
  [protocol.PROTOCOL_BREACH]: "breach of RFC 6455",
  [protocol.UNSUPPORTED]: "binary message",
  1005: "ended without a code",
  [protocol.ABNORMAL]: "the link broke",
  [protocol.BAD_TEXT]: "not UTF-8",
  [protocol.TOO_BIG]: "message too large",
  [protocol.INTERNAL]: "the hub failed",
  [protocol.RESTART]: "the hub restarts",
  [protocol.TRY_LATER]: "the hub is full",
  [protocol.BAD_REQUEST]: "not a command",
  [protocol.UNAUTHORIZED]: "token missing or refused",
  [protocol.FORBIDDEN]: "not allowed",
  [protocol.NOT_FOUND]: "no such thing",
  [protocol.AUTH_TIMEOUT]: "no token in time",
  [protocol.TOO_MANY]: "more than allowed",
  [protocol.FAILED]: "could not answer",
  [protocol.UNAVAILABLE]: "broker out of reach",
  [protocol.TOO_SLOW]: "client too slow",
};

export function meaningOf(code: string): string {
  return MEANINGS[Number(code)] ?? "";
}
