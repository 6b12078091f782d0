import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import {
  ConnectionProvider,
  ConnectionStatus,
  useAge,
  useConnectionStats,
  usePortfolio,
  usePositions,
} from "../../src/react/index.ts";

function Desk() {
  const { data, isLoading, updatedAt } = usePortfolio();
  const positions = usePositions({ select: (rows) => rows.length });
  const age = useAge(updatedAt);
  const { connections } = useConnectionStats();
  return (
    <p>
      {isLoading ? "loading" : data?.balance} {positions.data ?? "?"} {age ?? "-"} {connections}
    </p>
  );
}

test("a server renders what there is before any answer, and connects to nothing", () => {
  const html = renderToString(
    <ConnectionProvider url="/" token="t">
      <Desk />
      <ConnectionStatus />
    </ConnectionProvider>,
  );
  expect(html.replaceAll("<!-- -->", "")).toContain("<p>loading ? - 0</p>");
  expect(html).toContain('data-state="idle"');
});
