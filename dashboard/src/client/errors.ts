/** The hub said no, or the client gave up; `code` is a number of the protocol's table. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}
