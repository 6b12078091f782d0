// A hub's HTTP side for tests: answers by method and path, and what was asked.

import { Api } from "../../src/app/session/api.ts";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly authorization: string | null;
}

/** What a path is answered with: a status alone, or a body of status 200; or not at all. */
export type Answer = number | object | "away";

/** Answers in memory. `table` is by "METHOD path", the path without its query. */
export class Answers {
  readonly asked: Asked[] = [];
  readonly table: Record<string, Answer | ((asked: Asked) => Answer)>;

  constructor(table: Answers["table"] = {}) {
    this.table = table;
  }

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    const asked = {
      method: init.method ?? "GET",
      path: url.replace(/^\/api\/v1\//, ""),
      body: init.body === undefined ? undefined : JSON.parse(String(init.body)),
      authorization: headers.get("Authorization"),
    };
    this.asked.push(asked);
    const found = this.table[`${asked.method} ${asked.path.split("?")[0]}`] ?? 404;
    const answer = typeof found === "function" ? found(asked) : found;
    if (answer === "away") throw new TypeError("no route to the hub");
    if (typeof answer === "object") return Response.json(answer);
    if (answer === 204) return new Response(null, { status: 204 });
    return Response.json({ error: { message: `answer ${answer}` } }, { status: answer });
  };

  readonly api = (bearer: string | null = null): Api => new Api(bearer, this.fetch);
}
