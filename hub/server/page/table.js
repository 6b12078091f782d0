// Tables: positions with columns of their own, any other by the fields of its rows.

import { el, Figure, flash, KeyedChildren, setText } from "./dom.js";
import { asMoment, asText, asTitle, readDecimal } from "./format.js";
import { Panel, WordBadge } from "./panel.js";

const SHOWN = 500;

// as: how the cell is shown, a figure by default. spare: left out where there is no room.
export const POSITION_COLUMNS = [
  { name: "asset_pair", title: "Pair", as: "strong" },
  { name: "side", title: "Side", as: "badge" },
  { name: "size", title: "Size", whole: true },
  { name: "entry_price", title: "Entry", whole: true, spare: true },
  { name: "current_price", title: "Price", whole: true },
  { name: "unrealized_pnl", title: "P&L", signed: true },
  { name: "unrealized_pnl_pct", title: "P&L %", signed: true, suffix: " %" },
  { name: "margin_used", title: "Margin", spare: true },
  { name: "opened_at", title: "Opened", as: "time", spare: true },
];

function cellClass(as, spare) {
  return `as-${as}${spare ? " spare" : ""}`;
}

class Cell {
  #set;

  constructor({ as = "figure", signed, suffix, whole, spare }) {
    this.element = el("td", { class: cellClass(as, spare) });
    const set = { badge: Cell.#badge, time: Cell.#time, strong: Cell.#text, text: Cell.#text }[as];
    this.#set = set ? set(this.element) : Cell.#figure(this.element, { signed, suffix, whole });
  }

  set(value) {
    this.#set(value);
  }

  static #badge(element) {
    const word = new WordBadge();
    element.append(word.element);
    return (value) => word.set(value);
  }

  static #time(element) {
    return (value) => {
      const at = Date.parse(value);
      setText(element, Number.isNaN(at) ? asText(value) : asMoment(at));
    };
  }

  static #text(element) {
    return (value) => setText(element, asText(value));
  }

  static #figure(element, options) {
    const figure = new Figure(element, options);
    return (value) => figure.set(value);
  }
}

export class TablePanel extends Panel {
  wide = true;
  #columns = null;
  #fixed;
  #count = el("span", { class: "badge plain" });
  #head = el("tr");
  #table;
  #none = el("p", { class: "none" });
  #rows;
  #shown = new Map();

  constructor(channel, title, { columns = null, none = "No rows" } = {}) {
    super(channel, title);
    this.#fixed = columns;
    const body = el("tbody");
    this.#table = el("table", {}, el("thead", {}, this.#head), body);
    this.#rows = new KeyedChildren(body, () => this.#makeRow());
    this.#none.textContent = none;
    this.tools.append(this.#count);
    const scroller = { class: "scroll", tabindex: "0", role: "group", "aria-label": title };
    this.body.append(el("div", scroller, this.#table), this.#none);
  }

  render() {
    const { rows } = this.channel.state;
    this.#arrange(this.#fixed ?? columnsOf(rows));
    setText(this.#count, rows.size > SHOWN ? `${SHOWN} of ${rows.size}` : String(rows.size));
    this.#table.hidden = rows.size === 0;
    this.#none.hidden = rows.size !== 0;
    const keys = [...rows.keys()].sort().slice(0, SHOWN);
    const known = this.#shown;
    this.#shown = new Map();
    for (const [key, row] of this.#rows.show(keys)) {
      const given = rows.get(key);
      this.#shown.set(key, given);
      if (known.get(key) === given) continue;
      for (const [name, cell] of row.cells) cell.set(name === null ? key : given?.[name]);
      if (!known.has(key) && known.size) flash(row.element, "new");
    }
  }

  #arrange(columns) {
    const same = columns.map(({ title }) => title).join("\n");
    if (this.#columns?.same === same) return;
    this.#columns = { same, columns };
    this.#head.replaceChildren(
      ...columns.map(({ title, as = "figure", spare }) =>
        el("th", { scope: "col", class: cellClass(as, spare) }, title),
      ),
    );
    // Other columns: every row is made anew.
    this.#rows.show([]);
    this.#shown.clear();
  }

  #makeRow() {
    const cells = this.#columns.columns.map((column) => [column.name, new Cell(column)]);
    return { element: el("tr", {}, ...cells.map(([, cell]) => cell.element)), cells };
  }
}

/** The columns of a table that nobody described: its key, and every field of its first rows. */
function columnsOf(rows) {
  const names = new Map();
  for (const row of [...rows.values()].slice(0, 50)) {
    const fields = typeof row === "object" && row !== null && !Array.isArray(row) ? row : {};
    for (const [name, value] of Object.entries(fields)) {
      const numeric = readDecimal(asText(value)) !== null;
      names.set(name, (names.get(name) ?? true) && numeric);
    }
  }
  const key = { name: null, title: "Key", as: "strong" };
  const fields = [...names].slice(0, 12);
  return [
    key,
    ...fields.map(([name, numeric]) => ({
      name, title: asTitle(name), as: numeric ? "figure" : "text",
    })),
  ];
}
