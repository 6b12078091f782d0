import { useMemo, useState, useSyncExternalStore } from "react";
import { ConnectionProvider } from "../react/index.ts";
import { Commanding } from "./command/Commanding.tsx";
import type { Memory } from "./data/memory.ts";
import { DevPage } from "./dev/DevPage.tsx";
import { forgetDays } from "./equity/day.ts";
import { HubPage } from "./hub/HubPage.tsx";
import { Dashboard } from "./panels/Dashboard.tsx";
import { PushTrouble } from "./push/PushSwitch.tsx";
import { SeatContext } from "./session/context.ts";
import type { Desk } from "./session/desk.ts";
import type { Door } from "./session/door.ts";
import { Banner } from "./shell/Banner.tsx";
import { Header } from "./shell/Header.tsx";
import { NewAlerts } from "./shell/NewAlerts.tsx";
import { usePage } from "./shell/route.ts";
import { SignIn, Waiting } from "./shell/SignIn.tsx";
import { Title } from "./shell/Title.tsx";

export interface AppProps {
  readonly door: Door<Desk>;
  readonly memory: Memory;
}

export function App({ door, memory }: AppProps) {
  const entrance = useSyncExternalStore(door.subscribe, door.getEntrance);
  if (entrance.at === "checking") return <Waiting reason="" />;
  if (entrance.at === "unreachable") return <Waiting reason={entrance.reason} />;
  const leave = () => {
    forgetDays(memory);
    void door.leave();
  };
  if (entrance.at === "in") return <Room desk={entrance.desk} leave={leave} />;
  return <SignIn reason={entrance.reason} enter={(token) => void door.enter(token)} />;
}

interface RoomProps {
  readonly desk: Desk;
  readonly leave: () => void;
}

/** Everything that is shown to somebody who is in. */
function Room({ desk, leave }: RoomProps) {
  const isListed = useSyncExternalStore(desk.subscribe, desk.getListed);
  useSyncExternalStore(desk.subscribe, desk.getChannels);
  // Before that nobody knows whose channels to follow.
  return isListed ? <Account desk={desk} leave={leave} /> : <Waiting reason="" />;
}

function Account({ desk, leave }: RoomProps) {
  const { accounts } = desk;
  const [chosen, choose] = useState<string | null>(null);
  const key = chosen !== null && accounts.includes(chosen) ? chosen : (accounts[0] ?? "");
  const seat = useMemo(() => ({ desk, ledger: desk.ledger(key) }), [desk, key]);
  return (
    <ConnectionProvider client={desk.client}>
      <SeatContext value={seat}>
        <Title />
        <Commanding>
          <Page accounts={accounts} choose={choose} leave={leave} />
        </Commanding>
      </SeatContext>
    </ConnectionProvider>
  );
}

interface PageProps {
  readonly accounts: readonly string[];
  readonly choose: (account: string) => void;
  readonly leave: () => void;
}

const CONTENT = { "#/": <Dashboard />, "#/hub": <HubPage />, "#/dev": <DevPage /> } as const;

function Page(props: PageProps) {
  const page = usePage();
  return (
    <>
      <button
        type="button"
        className="skip"
        onClick={() => document.getElementById("main")?.focus()}
      >
        Skip to content
      </button>
      <Header {...props} />
      <Banner />
      <PushTrouble />
      <NewAlerts />
      <main id="main" tabIndex={-1}>
        {CONTENT[page]}
      </main>
    </>
  );
}
