// The whole page in happy-dom: a fake hub at both ends, in StrictMode.

import { act, cleanup, render } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, vi } from "vitest";
import { App } from "../../src/app/App.tsx";
import { pageMemory } from "../../src/app/data/memory.ts";
import { Desk } from "../../src/app/session/desk.ts";
import { Door } from "../../src/app/session/door.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { pass, withFakeTime } from "../setup.ts";
import { Answers } from "./answers.ts";

/** Each test of the file has a page of its own, and decides when time passes. */
export function withRoom(): void {
  withFakeTime();
  afterEach(async () => {
    cleanup();
    location.hash = "";
    await pass(0);
  });
}

/** Let time pass, and all that is rendered for it. */
export async function elapse(milliseconds: number): Promise<void> {
  await act(() => pass(milliseconds));
}

const CHANNELS = ["portfolio", "positions", "decisions", "agent", "status", "health", "alerts"];

export interface RoomOptions {
  readonly channels?: readonly string[];
  readonly table?: Answers["table"];
}

/** Somebody who is in, on a page that has heard what `prepare` published. */
export async function room(
  prepare: (hub: FakeHub) => void = () => {},
  { channels = CHANNELS, table = {} }: RoomOptions = {},
) {
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 0));
  stubCanvas();
  const hub = new FakeHub();
  prepare(hub);
  const answers = new Answers({
    "POST session": 204,
    "GET session": { subject: "alice" },
    "DELETE session": 204,
    "GET channels": { channels: channels.map((name) => ({ name, kind: "log", stale: false })) },
    ...table,
  });
  const memory = pageMemory();
  const desks: Desk[] = [];
  const door: Door<Desk> = new Door(
    (session) => {
      const refused = (reason: string) => door.refused(reason);
      const desk = new Desk({ session, memory, Socket: hub.WebSocket, refused }).open();
      desks.push(desk);
      return desk;
    },
    memory,
    answers.api,
  );
  void door.enter("token");
  const shown = render(
    <StrictMode>
      <App door={door} memory={memory} />
    </StrictMode>,
  );
  await elapse(300);
  return { ...shown, hub, door, answers, desk: () => desks.at(-1) as Desk };
}

/** happy-dom draws nothing: a context that takes every call. */
function stubCanvas(): void {
  const context = new Proxy(
    {},
    {
      get: (_target, name) =>
        name === "measureText" ? () => ({ width: 10 }) : () => ({ addColorStop: () => {} }),
      set: () => true,
    },
  );
  vi.stubGlobal(
    "Path2D",
    class {
      moveTo() {}
      lineTo() {}
      rect() {}
      closePath() {}
    },
  );
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context as never);
}
