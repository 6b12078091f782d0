import { type FormEvent, useId, useState } from "react";
import { useCommand } from "./Commanding.tsx";
import { readSetting, settingsOf } from "./settings.ts";
import { whyNot } from "./situation.ts";

/** Changes one of the agent's settings, of those that it says it has. */
export function SettingForm({ config }: { readonly config: Readonly<Record<string, unknown>> }) {
  const { situation, ask } = useCommand();
  const ids = { name: useId(), value: useId(), hint: useId() };
  const settings = settingsOf(config);
  const [chosen, choose] = useState<string | null>(null);
  const [typed, type] = useState<string | null>(null);
  const name = chosen !== null && settings.has(chosen) ? chosen : [...settings.keys()][0];
  const before = name === undefined ? undefined : settings.get(name);
  if (name === undefined || before === undefined) return null;
  const shown = typed ?? String(before);
  const value = readSetting(shown, before);
  const why =
    whyNot("config.set", situation) ??
    (value === null ? `Expected ${typeof before === "number" ? "a number" : "a value"}.` : null) ??
    (value === before ? "That is what it is." : null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (why !== null || value === null) return;
    ask({ event: "config.set", name, value, before });
    type(null);
  };
  return (
    <details className="settings">
      <summary>Settings</summary>
      <form onSubmit={submit} noValidate>
        <label htmlFor={ids.name}>Setting</label>
        <select
          id={ids.name}
          value={name}
          onChange={({ target }) => {
            choose(target.value);
            type(null);
          }}
        >
          {[...settings.keys()].map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
        <label htmlFor={ids.value}>Value</label>
        <input
          id={ids.value}
          autoComplete="off"
          spellCheck={false}
          aria-invalid={value === null}
          aria-describedby={ids.hint}
          value={shown}
          onChange={({ target }) => type(target.value)}
        />
        <button type="submit" className="order" aria-disabled={why !== null}>
          Change
        </button>
        <p className="hint" id={ids.hint}>
          {typed === null ? `Now ${before}.` : (why ?? `Now ${before}.`)}
        </p>
      </form>
    </details>
  );
}
