import { expect, test } from "vitest";
import { Markers } from "../../src/app/equity/markers.ts";

function decision(id: string, extra: object = {}, event = "decision_made", at = 1000) {
  const data = { id, action: "BUY", asset_pair: "BTCUSD", confidence: 72, ...extra };
  return { event, at, data };
}

test("decisions that want something and trades are marked, nothing else", () => {
  const markers = new Markers();
  markers.add([
    decision("d1"),
    decision("d2", { action: "HOLD" }),
    { event: "state_transition", at: 1, data: {} },
    {
      event: "trade_executed",
      at: 2000,
      data: {
        id: "t1",
        action: "SELL",
        asset_pair: "ETHUSD",
        size: "2",
        price: "3000",
        realized_pnl: "-1.5",
      },
    },
    { event: "trade_executed", at: 2000, data: null },
  ]);
  expect(markers.all.map(({ text }) => text)).toEqual([
    "BUY BTCUSD at 72 %, not executed",
    "SELL 2 ETHUSD at 3,000, realised \u22121.5",
  ]);
});

test("a decision that was carried out is filled where it was made", () => {
  const markers = new Markers();
  markers.add([decision("d1")]);
  markers.add([decision("d1", { executed: true }, "decision_updated", 5000)]);
  markers.add([decision("d1")]);
  expect(markers.all).toMatchObject([{ at: 1000, done: true }]);
});

test("the same entries again are the same markers", () => {
  const markers = new Markers();
  markers.add([decision("d1")]);
  const before = markers.all;
  markers.add([decision("d1")]);
  expect(markers.all).toBe(before);
});

test("they are bounded, and the oldest go", () => {
  const markers = new Markers(100);
  for (let i = 0; i < 1000; i += 1) markers.add([decision(`d${i}`, {}, "decision_made", i)]);
  expect(markers.all.length).toBeLessThanOrEqual(125);
  expect(markers.all.at(-1)?.id).toBe("d d999");
});
