// The built client under Node, driven by lines on standard input: what it sees goes to standard
// output, one JSON object a line. Run by tests/dashboard/test_against_hub.py.
import { createInterface } from "node:readline";
import { Client } from "tapecast";
import { WebSocket } from "ws";

const [url, ...channels] = process.argv.slice(2);

function tell(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const client = new Client(url, {
  WebSocket,
  getToken: ({ reason }) => {
    tell({ asked: reason });
    return process.env.TAPECAST_TOKEN;
  },
  // The test says when to reconnect, so that it knows what was missed.
  minDelayMs: 600_000,
  maxDelayMs: 600_000,
  random: () => 1,
});

client.on("status", ({ state, code }) => tell({ state, code }));
for (const name of channels) {
  client.channel(name, { intervalMs: 0 }).onChange((change) => tell({ channel: name, change }));
}

const commands = {
  reconnect: () => client.reconnectNow(),
  publish: async () => tell({ published: await client.publish("notes", "note", "hello") }),
  show: async () => {
    const shown = await Promise.all(channels.map((name) => client.channel(name).ready()));
    tell({
      shown: shown.map(({ state, value, rows, entries }) => {
        return {
          state,
          value,
          rows: Object.fromEntries(rows),
          entries: entries.map((e) => e.data),
        };
      }),
      stats: client.stats,
    });
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => commands[line]());
// A client that was closed holds nothing that keeps the process.
lines.on("close", () => client.close());
client.connect();
