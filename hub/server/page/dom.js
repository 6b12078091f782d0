// Small means to build and change the document. Content is text, always: nothing here parses HTML.

import { asText, compareDecimals, partsOf, signOf } from "./format.js";

const FLASH_MS = 900;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** An element: `el("p", { class: "hint" }, "text", child, ...)`. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Set an element's text, touching the document only where it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Let an element show for a moment that it changed: "up", "down" or "new". */
export function flash(element, direction) {
  if (calm.matches) return;
  const from = { backgroundColor: `var(--flash-${direction})` };
  element.animate([from, { backgroundColor: "transparent" }], { duration: FLASH_MS });
}

/** A number on the page: grouped, with what lies beyond two decimals set back, flashing on change. */
export class Figure {
  #given = null;
  #main = document.createTextNode("–");
  #rest = el("small");

  /** signed: show a plus, and colour by sign. whole: set no decimals back. */
  constructor(element, { signed = false, whole = false, suffix = "" } = {}) {
    this.element = element;
    this.signed = signed;
    this.whole = whole;
    this.suffix = suffix;
    element.classList.add("figure");
    element.replaceChildren(this.#main, this.#rest);
  }

  set(value) {
    if (value === this.#given) return;
    const text = asText(value);
    if (this.#given !== null) {
      const direction = compareDecimals(text, asText(this.#given));
      if (direction !== 0) flash(this.element, direction > 0 ? "up" : "down");
    }
    this.#given = value;
    const { main, rest } = partsOf(text, this);
    this.#main.data = rest ? main : main + this.suffix;
    this.#rest.textContent = rest ? rest + this.suffix : "";
    if (this.signed) {
      this.element.classList.toggle("gain", signOf(text) > 0);
      this.element.classList.toggle("loss", signOf(text) < 0);
    }
  }
}

/** The children of `parent`, kept as one element a key, in the order of the keys. */
export class KeyedChildren {
  #children = new Map();

  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
  }

  /** Show exactly these keys; returns what `make` returned for each, by key. */
  show(keys) {
    const wanted = new Set(keys);
    for (const [key, child] of this.#children) {
      if (wanted.has(key)) continue;
      child.element.remove();
      this.#children.delete(key);
    }
    let next = this.parent.firstElementChild;
    for (const key of wanted) {
      let child = this.#children.get(key);
      if (child === undefined) {
        child = this.make(key);
        this.#children.set(key, child);
      }
      if (child.element === next) next = next.nextElementSibling;
      else this.parent.insertBefore(child.element, next);
    }
    return this.#children;
  }
}

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 240;

/** The course of a number since the page was opened: a picture, so its points may be inexact. */
export class Sparkline {
  #points = [];
  #line = document.createElementNS(SVG, "polyline");
  #area = document.createElementNS(SVG, "polygon");

  constructor(label) {
    this.element = document.createElementNS(SVG, "svg");
    const attributes = {
      class: "spark", viewBox: "0 0 240 64", preserveAspectRatio: "none", role: "img",
      "aria-label": label,
    };
    for (const [key, value] of Object.entries(attributes)) this.element.setAttribute(key, value);
    this.#line.setAttribute("vector-effect", "non-scaling-stroke");
    this.element.append(this.#area, this.#line);
  }

  add(value) {
    const number = Number(value);
    if (!Number.isFinite(number)) return;
    this.#points.push(number);
    if (this.#points.length > POINTS) this.#points.shift();
    this.#draw();
  }

  #draw() {
    const points = this.#points;
    const low = Math.min(...points);
    const span = Math.max(...points) - low || 1;
    const step = 240 / Math.max(1, points.length - 1);
    const drawn = points.map(
      (point, i) => `${(i * step).toFixed(1)},${(60 - (56 * (point - low)) / span).toFixed(1)}`,
    );
    this.#line.setAttribute("points", drawn.join(" "));
    this.#area.setAttribute("points", `0,64 ${drawn.join(" ")} 240,64`);
    this.element.classList.toggle("falling", points.at(-1) < points[0]);
  }
}
