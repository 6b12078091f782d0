import { EmergencyStop } from "../command/EmergencyStop.tsx";
import { PushSwitch } from "../push/PushSwitch.tsx";
import { useSeat } from "../session/context.ts";
import { Connection } from "./Connection.tsx";
import { Bell, BellOff, Half, Leave, Mark, Moon, Sun } from "./icons.tsx";
import { ModeBadge } from "./ModeBadge.tsx";
import { canNotify, switchNotifications } from "./notifications.ts";
import { PAGES, usePage } from "./route.ts";
import { notifying, theme, useSetting } from "./settings.ts";

export interface HeaderProps {
  readonly accounts: readonly string[];
  readonly choose: (account: string) => void;
  readonly leave: () => void;
}

export function Header({ accounts, choose, leave }: HeaderProps) {
  const page = usePage();
  const { ledger } = useSeat();
  return (
    <header className="bar">
      <div className="lead">
        <a className="brand" href="#/" aria-label="Tapecast">
          <Mark />
          <span>Tapecast</span>
        </a>
        <ModeBadge />
        {accounts.length > 1 && (
          <select
            aria-label="Account"
            value={ledger.account.key}
            onChange={({ target }) => choose(target.value)}
          >
            {accounts.map((key) => (
              <option key={key} value={key}>
                {key || "main account"}
              </option>
            ))}
          </select>
        )}
        <EmergencyStop />
        <Connection />
        <div className="switches">
          <NotifySwitch />
          <PushSwitch />
          <ThemeSwitch />
          <button
            type="button"
            className="bare"
            aria-label="Sign out"
            title="Sign out"
            onClick={leave}
          >
            <Leave />
          </button>
        </div>
      </div>
      <nav aria-label="Pages">
        {PAGES.map(({ hash, title }) => (
          <a key={hash} href={hash} aria-current={hash === page ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
    </header>
  );
}

const THEMES = {
  system: { icon: <Half />, words: "as the system" },
  dark: { icon: <Moon />, words: "dark" },
  light: { icon: <Sun />, words: "light" },
} as const;

function ThemeSwitch() {
  const chosen = useSetting(theme);
  const next = theme.names[(theme.names.indexOf(chosen) + 1) % theme.names.length] ?? "system";
  const words = `Colours: ${THEMES[chosen].words}`;
  return (
    <button
      type="button"
      className="bare"
      aria-label={words}
      title={`${words} (press for ${THEMES[next].words})`}
      onClick={() => theme.set(next)}
    >
      {THEMES[chosen].icon}
    </button>
  );
}

function NotifySwitch() {
  const { pushing } = useSeat().desk;
  const isOn = useSetting(notifying) === "on";
  if (!canNotify()) return null;
  return (
    <button
      type="button"
      className="bare"
      aria-label="Notify me of critical alerts"
      aria-pressed={isOn}
      title={`Notifications of critical alerts: ${isOn ? "on" : "off"}`}
      onClick={() => {
        void switchNotifications(!isOn);
        if (pushing.standing.state === "on") void pushing.switchOff();
      }}
    >
      {isOn ? <Bell /> : <BellOff />}
    </button>
  );
}
