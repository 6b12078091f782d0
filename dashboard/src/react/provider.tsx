import { type QueryClient, QueryClientContext } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useInsertionEffect,
  useMemo,
  useState,
} from "react";
import { Client, type ClientOptions } from "../client/index.ts";
import { hold } from "./hold.ts";
import { queryClient as readyMade } from "./queries.ts";

interface Common {
  /** Where first answers are kept: the nearest QueryClientProvider's by default, or `queryClient`. */
  readonly queryClient?: QueryClient;
  readonly children?: ReactNode;
}

/** A connection that the provider makes, opens and closes. */
export interface OwnConnectionProps extends ClientOptions, Common {
  /** The hub's URL, or several of one cluster; `/` is the page's own. Another one reconnects. */
  readonly url: string | readonly string[];
  /**
   * A token that the page has already; null where nobody is logged in. Another token is another
   * connection, and nothing of the former is shown. Where tokens are renewed, give `getToken`.
   */
  readonly token?: string | null;
  readonly client?: never;
}

/** A client that the application made: it is connected where that was not done, and never closed. */
export interface GivenConnectionProps extends Common {
  readonly client: Client;
}

export type ConnectionProviderProps = OwnConnectionProps | GivenConnectionProps;

interface Connection {
  readonly client: Client;
  readonly queryClient: QueryClient;
}

const ConnectionContext = createContext<Connection | null>(null);

/** One connection to a hub for all that is within. */
export function ConnectionProvider(props: ConnectionProviderProps): ReactNode {
  const { queryClient, children } = props;
  const around = useContext(QueryClientContext);
  const client = useOwnedClient(props);
  const queries = queryClient ?? around ?? readyMade;
  const connection = useMemo(() => ({ client, queryClient: queries }), [client, queries]);
  return <ConnectionContext value={connection}>{children}</ConnectionContext>;
}

/** The client of the nearest ConnectionProvider, and where first answers are kept. */
export function useConnection(): Connection {
  const connection = useContext(ConnectionContext);
  if (connection === null) {
    throw new Error("expected a <ConnectionProvider> around this component, got none");
  }
  return connection;
}

/** The client of the nearest ConnectionProvider. */
export function useClient(): Client {
  return useConnection().client;
}

function useOwnedClient(props: ConnectionProviderProps): Client {
  const [made, setMade] = useState(() => make(props));
  const current = isMadeOf(made, props) ? made : make(props);
  if (current !== made) setMade(current);
  const { client, source } = current;
  useInsertionEffect(() => {
    // An arrow function is another one at each render, and no reason to connect anew.
    source.getToken = getTokenOf(props);
  });
  const isOurs = props.client === undefined;
  useEffect(() => {
    if (isOurs) return hold(client);
    if (client.status.state === "idle") client.connect();
    return undefined;
  }, [client, isOurs]);
  return client;
}

type GetToken = NonNullable<ClientOptions["getToken"]>;

interface Made {
  readonly client: Client;
  /** What it was made of: another one is another client. */
  readonly identity: string | Client;
  readonly source: { getToken: GetToken | undefined };
}

function isMadeOf(made: Made, props: ConnectionProviderProps): boolean {
  return made.identity === identityOf(props);
}

function identityOf(props: ConnectionProviderProps): string | Client {
  if (props.client !== undefined) return props.client;
  const { url, token, getToken } = props;
  return JSON.stringify([url, token ?? null, token !== undefined || getToken !== undefined]);
}

function getTokenOf(props: ConnectionProviderProps): GetToken | undefined {
  if (props.client !== undefined) return undefined;
  const { token, getToken } = props;
  return token === undefined ? getToken : () => token;
}

function make(props: ConnectionProviderProps): Made {
  const identity = identityOf(props);
  const source = { getToken: getTokenOf(props) };
  if (props.client !== undefined) return { client: props.client, identity, source };
  const {
    url,
    token: _token,
    queryClient: _queries,
    children: _children,
    client: _,
    ...options
  } = props;
  const asks: ClientOptions =
    source.getToken === undefined
      ? {}
      : { getToken: (request) => source.getToken?.(request) ?? null };
  return { client: newClient(url, { ...options, ...asks }), identity, source };
}

/** Nothing is opened where there is no page: a server renders what is shown before any answer. */
function newClient(url: string | readonly string[], options: ClientOptions): Client {
  if (typeof window !== "undefined") return new Client(url, options);
  return new Client("ws://nowhere.invalid", { WebSocket: NoSocket });
}

class NoSocket {
  readonly protocol = "";
  send(): void {}
  close(): void {}
  addEventListener(): void {}
}
