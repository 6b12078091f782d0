// The portfolio: equity in front, its course, and the other amounts.

import { el, Figure, setText, Sparkline } from "./dom.js";
import { Panel, tile } from "./panel.js";

const AMOUNTS = [
  ["balance", "Balance", {}],
  ["available", "Available", {}],
  ["exposure", "Exposure", {}],
  ["unrealized_pnl", "Unrealized P&L", { signed: true }],
  ["realized_pnl", "Realized P&L", { signed: true }],
  ["positions_count", "Positions", {}],
];

export class PortfolioPanel extends Panel {
  wide = true;
  #equity = new Figure(el("span", { class: "equity" }));
  #currency = el("span", { class: "currency" });
  #platform = el("span", { class: "badge plain" });
  #course = new Sparkline("Equity since this page was opened");
  #tiles = new Map();
  #drawn = null;

  constructor(channel) {
    super(channel, "Portfolio");
    const grid = el("dl", { class: "tiles" });
    for (const [name, label, options] of AMOUNTS) {
      const { element, figure } = tile(label, options);
      this.#tiles.set(name, figure);
      grid.append(element);
    }
    this.tools.append(this.#platform);
    const figures = el("p", { class: "headline" }, this.#equity.element, this.#currency);
    const head = el("div", {}, el("p", { class: "label" }, "Equity"), figures);
    this.body.append(el("div", { class: "hero" }, head, this.#course.element), grid);
  }

  render() {
    const portfolio = this.channel.state.value ?? {};
    this.#equity.set(portfolio.equity);
    setText(this.#currency, portfolio.currency ?? "");
    setText(this.#platform, portfolio.platform ?? "");
    for (const [name, figure] of this.#tiles) figure.set(portfolio[name]);
    if (portfolio.equity !== undefined && portfolio.equity !== this.#drawn) {
      this.#drawn = portfolio.equity;
      this.#course.add(portfolio.equity);
    }
  }
}
