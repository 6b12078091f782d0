// @vitest-environment happy-dom
import { act } from "@testing-library/react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test, vi } from "vitest";
import { ConnectionBadge, ConnectionProvider, usePortfolio } from "../../src/react/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, withPage } from "./page.tsx";

withPage();

function Balance() {
  return <output>{usePortfolio().data?.balance ?? "-"}</output>;
}

test("what a server rendered is taken over as it is, and then goes live", async () => {
  const hub = new FakeHub();
  hub.set("portfolio", { balance: "1.00" });
  const desk = (
    <ConnectionProvider url="ws://hub" WebSocket={hub.WebSocket}>
      <Balance />
      <ConnectionBadge />
    </ConnectionProvider>
  );
  const complaints = vi.spyOn(console, "error");
  const container = document.body.appendChild(document.createElement("div"));
  container.innerHTML = renderToString(desk);
  expect(container.textContent).toBe("-Not connected");
  const root = await act(async () => hydrateRoot(container, desk));
  await elapse(200);
  expect(container.textContent).toBe("1.00Live");
  expect(complaints).not.toHaveBeenCalled();
  act(() => root.unmount());
  container.remove();
});
