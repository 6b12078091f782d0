import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";
import { browserMemory } from "./data/memory.ts";
import { Desk } from "./session/desk.ts";
import { Door, takeToken } from "./session/door.ts";
import { applyTheme } from "./shell/settings.ts";
import "uplot/dist/uPlot.min.css";
import "../react/style.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/panels.css";
import "./styles/positions.css";
import "./styles/decisions.css";
import "./styles/commands.css";
import "./styles/pages.css";

applyTheme(document.documentElement);

const memory = browserMemory();
const door: Door<Desk> = new Door((session) => {
  const refused = (reason: string) => door.refused(reason);
  return new Desk({ session, memory, Socket: WebSocket, refused }).open();
}, memory);
const enter = () => void door.enter(takeToken(location, history));
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) enter();
});
enter();

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App door={door} memory={memory} />
  </StrictMode>,
);
