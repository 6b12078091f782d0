/**
 * The URL of a hub's socket, from that or from the hub's own: `http://host:8000`,
 * `https://desk.example/tapecast` (a hub behind a path), `ws://host:8000/ws`, and in a page `/`.
 * Throws TypeError that says what was expected.
 */
export function websocketUrl(url: string): string {
  const { href } = new URL(url, typeof location === "undefined" ? undefined : location.href);
  const match = /^(http|ws)(s?):\/\/([^/?#@]+)([^?#@]*?)\/*(\?[^#]*)?$/.exec(href);
  if (match === null) {
    throw new TypeError(`expected a hub's URL such as http://127.0.0.1:8000, got ${url}`);
  }
  const [, scheme, secure, host, path = "", query = ""] = match;
  const isSocket = path.endsWith("/ws") || (scheme === "ws" && path !== "");
  return `ws${secure}://${host}${path}${isSocket ? "" : "/ws"}${query}`;
}
