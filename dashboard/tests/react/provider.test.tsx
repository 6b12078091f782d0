// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider, useQueryClient } from "@tanstack/react-query";
import { act, render } from "@testing-library/react";
import { Activity, type ReactNode, StrictMode, useState } from "react";
import { describe, expect, test, vi } from "vitest";
import { Client } from "../../src/client/index.ts";
import { ConnectionProvider, useClient, usePortfolio, useValue } from "../../src/react/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { elapse, page, watcher, withPage } from "./page.tsx";

withPage();

function Balance(): ReactNode {
  const { data } = usePortfolio();
  return <output>{data?.balance}</output>;
}

describe("one socket", () => {
  test("StrictMode opens one, for all components", async () => {
    const { hub } = await page([<Balance key="1" />, <Balance key="2" />]);
    await elapse(5000);
    expect(hub.attempts).toHaveLength(1);
    expect(hub.connections).toHaveLength(1);
    expect(hub.heard.filter(({ method }) => method === "subscribe")).toHaveLength(1);
  });

  test("it is asked for one token", async () => {
    const getToken = vi.fn(async () => "t");
    const { hub } = await page(<Balance />, { getToken });
    expect(getToken).toHaveBeenCalledOnce();
    expect(hub.connections.map(({ token }) => token)).toEqual(["t"]);
  });

  test("it is closed with the provider, and opened anew with the next", async () => {
    const { hub, unmount } = await page(<Balance />);
    unmount();
    await elapse(1);
    expect(hub.connections).toHaveLength(0);
    expect(hub.attempts[0]?.closeCode).toBe(1000);
    render(
      <ConnectionProvider url="ws://hub" WebSocket={hub.WebSocket}>
        <Balance />
      </ConnectionProvider>,
    );
    await elapse(1);
    expect(hub.connections).toHaveLength(1);
    expect(hub.attempts).toHaveLength(2);
  });

  test("it is closed while its part of the page is hidden, and goes on when that is seen", async () => {
    const hub = new FakeHub();
    hub.set("portfolio", { balance: "1.00" });
    const part = (mode: "visible" | "hidden") => (
      <Activity mode={mode}>
        <ConnectionProvider url="ws://hub" WebSocket={hub.WebSocket}>
          <Balance />
        </ConnectionProvider>
      </Activity>
    );
    const { rerender, container } = render(part("visible"));
    await elapse(1);
    rerender(part("hidden"));
    await elapse(1);
    expect(hub.connections).toHaveLength(0);
    hub.set("portfolio", { balance: "2.00" });
    rerender(part("visible"));
    await elapse(200);
    expect(hub.connections).toHaveLength(1);
    expect(container.textContent).toBe("2.00");
  });
});

describe("what the client is made of", () => {
  function Desk({ hub, url, token }: { hub: FakeHub; url: string; token: string | null }) {
    return (
      <ConnectionProvider url={url} token={token} WebSocket={hub.WebSocket}>
        <Balance />
      </ConnectionProvider>
    );
  }

  test("another token is another connection, and shows nothing of the former", async () => {
    const hub = new FakeHub();
    hub.set("portfolio", { balance: "1.00" });
    const { rerender, container } = render(<Desk hub={hub} url="ws://hub" token="anna" />);
    await elapse(200);
    expect(container.textContent).toBe("1.00");
    hub.isSilent = true;
    rerender(<Desk hub={hub} url="ws://hub" token="bert" />);
    expect(container.textContent).toBe("");
    await elapse(1);
    expect(container.textContent).toBe("");
    hub.isSilent = false;
    await elapse(200);
    expect(container.textContent).toBe("1.00");
    expect(hub.connections.map(({ token }) => token)).toEqual(["bert"]);
  });

  test("another URL is another connection", async () => {
    const hub = new FakeHub();
    const { rerender } = render(<Desk hub={hub} url="ws://one" token="anna" />);
    await elapse(1);
    rerender(<Desk hub={hub} url="ws://two" token="anna" />);
    await elapse(1);
    expect(hub.connections.map(({ url }) => url)).toEqual(["ws://two/ws"]);
  });

  test("nobody logged in is nobody connected", async () => {
    const hub = new FakeHub();
    const { rerender } = render(<Desk hub={hub} url="ws://hub" token={null} />);
    await elapse(1000);
    expect(hub.attempts).toHaveLength(0);
    rerender(<Desk hub={hub} url="ws://hub" token="anna" />);
    await elapse(1);
    expect(hub.connections).toHaveLength(1);
  });

  test("another getToken is asked from then on, on the same connection", async () => {
    const hub = new FakeHub();
    let login = (_name: string) => {};
    function Login() {
      const [name, setName] = useState("anna");
      login = setName;
      return <ConnectionProvider url="ws://hub" getToken={() => name} WebSocket={hub.WebSocket} />;
    }
    render(<Login />);
    await elapse(1);
    act(() => login("bert"));
    await elapse(1000);
    expect(hub.attempts.map(({ token }) => token)).toEqual(["anna"]);
    hub.takesToken = (token) => token === "bert";
    hub.drop(4401);
    await elapse(1);
    expect(hub.connections.map(({ token }) => token)).toEqual(["bert"]);
  });

  test("a given client is connected where it was not, and left open", async () => {
    const hub = new FakeHub();
    const client = new Client("ws://hub", { WebSocket: hub.WebSocket });
    const { unmount } = render(
      <StrictMode>
        <ConnectionProvider client={client}>
          <Balance />
        </ConnectionProvider>
      </StrictMode>,
    );
    await elapse(1);
    expect(hub.connections).toHaveLength(1);
    unmount();
    await elapse(5000);
    expect(hub.connections).toHaveLength(1);
    client.close();
    expect(client.status.state).toBe("closed");
  });

  test("a given client that was closed stays so", async () => {
    const hub = new FakeHub();
    const client = new Client("ws://hub", { WebSocket: hub.WebSocket });
    client.close();
    render(<ConnectionProvider client={client} />);
    await elapse(1000);
    expect(hub.attempts).toHaveLength(0);
  });
});

test("without a provider the hooks say what is missing", () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  expect(() => render(<Balance />)).toThrow("expected a <ConnectionProvider>");
});

test("the nearest provider counts", async () => {
  const [near, far] = [new FakeHub(), new FakeHub()];
  near.set("x", "near");
  far.set("x", "far");
  const { Watch, now } = watcher(() => useValue<string>("x").data);
  render(
    <ConnectionProvider url="ws://far" WebSocket={far.WebSocket}>
      <ConnectionProvider url="ws://near" WebSocket={near.WebSocket}>
        <Watch />
      </ConnectionProvider>
    </ConnectionProvider>,
  );
  await elapse(200);
  expect(now()).toBe("near");
});

test("first answers are kept where the application keeps its own", async () => {
  const hub = new FakeHub();
  hub.set("portfolio", { balance: "1.00" });
  const queries = new QueryClient();
  const { Watch, now } = watcher(() => ({ queries: useQueryClient(), client: useClient() }));
  render(
    <QueryClientProvider client={queries}>
      <ConnectionProvider url="ws://hub" WebSocket={hub.WebSocket}>
        <Balance />
        <Watch />
      </ConnectionProvider>
    </QueryClientProvider>,
  );
  await elapse(1);
  expect(now().queries).toBe(queries);
  expect(queries.getQueryCache().getAll()).toHaveLength(1);
});
