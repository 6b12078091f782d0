import { type FormEvent, useState } from "react";
import { Mark } from "./icons.tsx";

export interface SignInProps {
  /** Why nobody is in; "" where nobody tried. */
  readonly reason: string;
  readonly enter: (token: string) => void;
}

export function SignIn({ reason, enter }: SignInProps) {
  const [token, setToken] = useState("");
  const [isMissing, setMissing] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setMissing(token.trim() === "");
    if (token.trim() !== "") enter(token.trim());
  };
  return (
    <main className="door">
      <form className="panel" onSubmit={submit} noValidate>
        <Mark />
        <h1>Tapecast</h1>
        <p>Portfolio, positions and decisions, live.</p>
        <label htmlFor="token">Token or API key</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          spellCheck={false}
          aria-describedby="refusal"
          aria-invalid={reason !== "" || isMissing}
          // biome-ignore lint/a11y/noAutofocus: it is all there is on the page.
          autoFocus
          value={token}
          onChange={({ target }) => setToken(target.value)}
        />
        <p id="refusal" className="refusal" role="alert">
          {isMissing ? "Enter a token." : reason}
        </p>
        <button type="submit" className="strong">
          Sign in
        </button>
        <p className="hint">
          Make one with <code>tapecast token me --read '*'</code>
        </p>
      </form>
    </main>
  );
}

/** While the hub is asked who this is, or can't be reached. */
export function Waiting({ reason }: { readonly reason: string }) {
  return (
    <main className="door">
      <div className="panel" role="status">
        <Mark />
        <h1>Tapecast</h1>
        <p>{reason === "" ? "One moment …" : `Trying again: ${reason}.`}</p>
      </div>
    </main>
  );
}
