import { afterEach, expect, test, vi } from "vitest";
import { briefly, debugLog } from "../../src/client/log.ts";
import { vectors } from "../vectors.ts";

afterEach(() => vi.unstubAllGlobals());

function storage(debug: string | null): void {
  vi.stubGlobal("localStorage", { getItem: (name: string) => (name === "debug" ? debug : null) });
}

test.each(["tapecast", "*", "app:*,tapecast", "app tapecast:*"])("debug = %j is heard", (debug) => {
  storage(debug);
  const console_ = vi.spyOn(console, "debug").mockImplementation(() => {});
  debugLog()?.("line");
  expect(console_.mock.calls).toEqual([["tapecast line"]]);
});

test.each([null, "", "app", "nottapecast"])("debug = %j is not", (debug) => {
  storage(debug);
  expect(debugLog()).toBeNull();
});

test("a page that is denied its storage logs nothing", () => {
  vi.stubGlobal("localStorage", {
    getItem: () => {
      throw new DOMException("denied", "SecurityError");
    },
  });
  expect(debugLog()).toBeNull();
});

test("a frame is logged without its token and its data", () => {
  for (const { text } of vectors("commands").accepted) {
    const frame = JSON.parse(text) as { params?: { token?: string; data?: unknown } };
    const shown = briefly({
      ...frame,
      params: { ...frame.params, token: "s3cret", data: { a: "s3cret" } },
    });
    expect(shown).not.toContain("s3cret");
    expect(shown).toContain('"id"');
  }
});
