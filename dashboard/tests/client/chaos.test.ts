import { expect, test } from "vitest";
import { type Change, Client, type Snapshot } from "../../src/client/index.ts";
import { FakeHub } from "../../src/testing/index.ts";
import { pass, withFakeTime } from "../setup.ts";

withFakeTime();

const CHANNELS = ["portfolio", "positions", "decisions"];
const STEPS = 60;

/** Whole numbers below a bound, the same for each seed. */
function dice(seed: number): (bound: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (bound) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

function publish(hub: FakeHub, roll: (bound: number) => number, n: number): void {
  const key = `p-${roll(5)}`;
  const changes = [{ upsert: { [key]: n } }, { delete: [key] }];
  const acts = [
    () => hub.set("portfolio", n),
    () => hub.patch("positions", changes[roll(2)] ?? {}),
    () => hub.append("decisions", n),
  ];
  acts[roll(acts.length)]?.();
}

function breakSomething(hub: FakeHub, roll: (bound: number) => number): void {
  const channel = CHANNELS[roll(CHANNELS.length)] ?? "";
  const acts = [
    () => hub.drop([1006, 1012, 4508][roll(3)]),
    () => hub.loseNext(1 + roll(3)),
    () => hub.forget(channel),
    () => hub.restart(channel),
    () => {
      hub.isUp = !hub.isUp;
    },
    () => {
      hub.isSilent = !hub.isSilent;
    },
    () => hub.mark(channel, roll(2) === 0 ? "stale" : "live"),
    () => hub.refusals.push({ method: "subscribe", code: 4503 }),
  ];
  acts[roll(acts.length)]?.();
}

/** What a snapshot says, without what two viewers may differ in. */
function shown({ state, kind, value, rows, entries, position }: Snapshot<unknown>): object {
  return { state, kind, value, rows: Object.fromEntries(rows), last: entries.at(-1), position };
}

/** Each update of a log follows the one before, but where a reset said that it does not. */
function checkContinuity(changes: readonly Change[]): void {
  let seq: number | null = null;
  for (const change of changes) {
    if (change.type === "reset") seq = null;
    else if (change.type === "snapshot") {
      // Only at the beginning and after a reset.
      expect(seq).toBeNull();
      seq = change.position.seq;
    } else if (change.type === "update" && change.position !== null) {
      expect(change.position.seq).toBe((seq ?? Number.NaN) + 1);
      seq = change.position.seq;
    }
  }
}

test.each(Array.from({ length: 100 }, (_, seed) => seed))(
  "whatever goes wrong, a viewer ends with what the hub has (seed %i)",
  async (seed) => {
    const roll = dice(seed);
    const hub = new FakeHub();
    hub.set("portfolio", 0);
    hub.patch("positions", { upsert: { "p-0": 0 } });
    hub.append("decisions", 0);
    const random = () => roll(100) / 100;
    const viewer = new Client("ws://hub", { WebSocket: hub.WebSocket, random });
    const decisions: Change[] = [];
    viewer.connect();
    for (const name of CHANNELS) viewer.channel(name).subscribe(() => {});
    viewer.channel("decisions").onChange((change) => decisions.push(change));
    for (let n = 1; n <= STEPS; n += 1) {
      publish(hub, roll, n);
      if (roll(4) === 0) breakSomething(hub, roll);
      await pass(roll(2) === 0 ? roll(50) : roll(8000));
    }
    hub.isUp = true;
    hub.isSilent = false;
    hub.loseNext(0);
    hub.refusals.length = 0;
    // Where the last thing was to forget, a newcomer would not see the last entry.
    hub.append("decisions", "last");
    await pass(60_000);

    const fresh = new Client("ws://hub", { WebSocket: hub.WebSocket });
    fresh.connect();
    for (const name of CHANNELS) fresh.channel(name).subscribe(() => {});
    await pass(200);
    for (const name of CHANNELS) {
      const expected = shown(fresh.channel(name).getSnapshot());
      expect(shown(viewer.channel(name).getSnapshot())).toEqual(expected);
    }
    checkContinuity(decisions);
    viewer.close();
    fresh.close();
  },
);
