// Which panel shows which channel. A panel is made once for a channel, and its `render` brings it
// up to date; a channel of a stream that has no panel of its own is shown by its kind.

import { DecisionsPanel } from "./decisions.js";
import { EventsPanel } from "./events.js";
import { asTitle } from "./format.js";
import { PortfolioPanel } from "./portfolio.js";
import { HealthPanel, StatusPanel } from "./status.js";
import { POSITION_COLUMNS, TablePanel } from "./table.js";
import { ValuePanel } from "./value.js";

const BY_STREAM = {
  portfolio: { kind: "value", make: (channel) => new PortfolioPanel(channel) },
  positions: {
    kind: "table",
    make: (channel) =>
      new TablePanel(channel, "Positions", { columns: POSITION_COLUMNS, none: "No open positions" }),
  },
  decisions: { kind: "log", make: (channel) => new DecisionsPanel(channel) },
  status: { kind: "value", make: (channel) => new StatusPanel(channel) },
  health: { kind: "value", make: (channel) => new HealthPanel(channel) },
  alerts: { kind: "log", make: (channel) => new EventsPanel(channel, "Alerts", { live: "polite" }) },
  agent: { kind: "log", make: (channel) => new EventsPanel(channel, "Agent events") },
};

const BY_KIND = {
  value: (channel) => new ValuePanel(channel, asTitle(channel.stream)),
  table: (channel) => new TablePanel(channel, asTitle(channel.stream)),
  log: (channel) => new EventsPanel(channel, asTitle(channel.stream)),
};

/** The panel for a channel: that of its stream where its kind is the expected one. */
export function makePanel(channel) {
  const own = BY_STREAM[channel.stream];
  return own?.kind === channel.kind ? own.make(channel) : BY_KIND[channel.kind](channel);
}

/** Where a channel's panel stands among the others: by account, then by stream. */
export function orderOf(channel) {
  const rank = Object.keys(BY_STREAM).indexOf(channel.stream);
  const streams = String(rank < 0 ? 99 : rank).padStart(2, "0");
  return `${channel.key}\n${streams}\n${channel.name}`;
}
