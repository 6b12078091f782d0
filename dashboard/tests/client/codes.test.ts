import { expect, test } from "vitest";
import { shouldReconnect } from "../../src/client/codes.ts";
import { RECONNECT } from "../../src/client/protocol.ts";

test.each(Object.entries(RECONNECT))("code %s does what the table says", (code, reconnect) => {
  expect(shouldReconnect(Number(code))).toBe(reconnect);
});

test.each([
  [4499, false],
  [4599, true],
  [4501, true],
  [4600, false],
  [1014, false],
  [1005, false],
])("code %i, which has no row, follows its range", (code, reconnect) => {
  expect(shouldReconnect(code)).toBe(reconnect);
});
