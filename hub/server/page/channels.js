// What the page knows of each channel: its state by kind, how fresh it is, and what is wrong.

const ENTRIES_KEPT = 300;

class ValueState {
  value = null;

  snapshot(data) {
    this.value = data;
  }

  update(frame) {
    this.value = frame.data;
  }
}

class TableState {
  rows = new Map();

  snapshot(data) {
    this.rows = new Map(Object.entries(data.rows));
  }

  update(frame) {
    for (const [key, row] of Object.entries(frame.data.upsert)) this.rows.set(key, row);
    for (const key of frame.data.delete) this.rows.delete(key);
  }
}

class LogState {
  entries = []; // oldest first
  added = 0; // how many were ever added, so that a view finds what is new

  snapshot(data) {
    this.entries = [];
    for (const entry of data.entries) this.#add(entry);
  }

  update({ seq, event, ts, data }) {
    this.#add({ seq, event, ts, data });
  }

  #add(entry) {
    this.entries.push({ ...entry, number: (this.added += 1) });
    if (this.entries.length > ENTRIES_KEPT) this.entries.shift();
  }
}

const STATES = { value: ValueState, table: TableState, log: LogState };

/** One channel as the page has it. `ts` is when its newest entry was published, in ms. */
export class Channel {
  constructor(name, kind) {
    this.name = name;
    [this.stream] = name.split(":", 1);
    this.key = name.slice(this.stream.length + 1);
    this.kind = kind;
    this.state = new STATES[kind]();
    this.ts = 0;
    this.stale = false;
    this.error = null;
    this.startedOver = 0; // when what was shown could not be continued last, in ms
  }

  snapshot(frame) {
    this.error = null;
    this.state.snapshot(frame.data);
    this.ts = frame.ts / 1000;
  }

  update(frame) {
    // Published by hand: an entry for a log, nothing that a value or a table could rely on.
    if (frame.seq === undefined && this.kind !== "log") return;
    if (frame.data === null && this.kind === "table") return;
    this.state.update(frame);
    this.ts = frame.ts / 1000;
  }
}
