// Any value that has no panel of its own.

import { el, KeyedChildren } from "./dom.js";
import { asTitle } from "./format.js";
import { Panel, tile } from "./panel.js";

/** A value that nobody described: its fields, or itself. */
export class ValuePanel extends Panel {
  #fields;

  constructor(channel, title) {
    super(channel, title);
    const grid = el("dl", { class: "tiles" });
    this.#fields = new KeyedChildren(grid, (name) => tile(name ? asTitle(name) : "Value"));
    this.body.append(grid);
  }

  render() {
    const { value } = this.channel.state;
    const plain = value !== null && typeof value === "object" && !Array.isArray(value);
    const fields = plain ? value : { "": value };
    for (const [name, { figure }] of this.#fields.show(Object.keys(fields))) {
      figure.set(fields[name]);
    }
  }
}
