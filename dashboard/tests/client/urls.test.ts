import { afterEach, expect, test, vi } from "vitest";
import { websocketUrl } from "../../src/client/urls.ts";

afterEach(() => vi.unstubAllGlobals());

test.each([
  ["http://host:8000", "ws://host:8000/ws"],
  ["https://desk.example/tapecast", "wss://desk.example/tapecast/ws"],
  ["https://desk.example/tapecast/", "wss://desk.example/tapecast/ws"],
  ["https://desk.example/ws", "wss://desk.example/ws"],
  ["ws://host:8000", "ws://host:8000/ws"],
  ["ws://host:8000/other", "ws://host:8000/other"],
  ["wss://host/ws?a=b", "wss://host/ws?a=b"],
])("%s is the socket %s", (url, expected) => {
  expect(websocketUrl(url)).toBe(expected);
});

test("in a page, a path is one of its host", () => {
  vi.stubGlobal("location", { href: "https://desk.example/app/?tab=1#top" });
  expect(websocketUrl("/")).toBe("wss://desk.example/ws");
  expect(websocketUrl("/tapecast")).toBe("wss://desk.example/tapecast/ws");
});

test.each(["", "host:8000", "ftp://host", "http://user:word@host", "http://host/#top"])(
  "%j is refused",
  (url) => {
    expect(() => websocketUrl(url)).toThrow(TypeError);
  },
);
