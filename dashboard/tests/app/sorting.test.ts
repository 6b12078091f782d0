import { describe, expect, test } from "vitest";
import { readPosition } from "../../src/app/data/payloads.ts";
import { FIRST_ORDER, pressed, sorted } from "../../src/app/panels/sorting.ts";

function row(key: string, fields: object) {
  return { key, position: readPosition({ asset_pair: "BTCUSD", ...fields }) };
}

const keys = (rows: readonly { key: string }[]) => rows.map(({ key }) => key).join(" ");

describe("positions in order", () => {
  test("amounts by their value, to the last digit", () => {
    const rows = [
      row("a", { unrealized_pnl: "9" }),
      row("b", { unrealized_pnl: "10" }),
      row("c", { unrealized_pnl: "-100.5" }),
      row("d", { unrealized_pnl: "10.00000000000000000001" }),
    ];
    expect(keys(sorted(rows, { column: "pnl", descending: true }))).toBe("d b a c");
    expect(keys(sorted(rows, { column: "pnl", descending: false }))).toBe("c a b d");
  });

  test("names by their letters, and equal ones by their keys", () => {
    const rows = [row("b", {}), row("a", {}), row("c", { asset_pair: "AVAX" })];
    expect(keys(sorted(rows, FIRST_ORDER))).toBe("c a b");
  });

  test("what was held longest comes first where time held falls", () => {
    const rows = [
      row("new", { opened_at: "2026-01-02T00:00:00Z" }),
      row("old", { opened_at: "2026-01-01T00:00:00Z" }),
      row("unknown", {}),
    ];
    expect(keys(sorted(rows, { column: "held", descending: true }))).toBe("old new unknown");
    expect(keys(sorted(rows, { column: "held", descending: false }))).toBe("new old unknown");
  });

  test("a heading turns its own order around, another begins with the largest", () => {
    expect(pressed(FIRST_ORDER, "pair")).toEqual({ column: "pair", descending: true });
    expect(pressed(FIRST_ORDER, "pnl")).toEqual({ column: "pnl", descending: true });
    expect(pressed({ column: "pnl", descending: true }, "side")).toEqual({
      column: "side",
      descending: false,
    });
  });
});
