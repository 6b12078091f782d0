export type { Outcome } from "./commands.ts";
export { FakeConnection, type HeardCommand } from "./connection.ts";
export { FakeHub, type FakeHubOptions } from "./hub.ts";
