// What a sink pushes (producers/sources/alerts/sinks/web_push.py), and how it is shown. The service
// worker is one file that imports nothing, so this shares nothing with the page.

export interface Shown {
  readonly title: string;
  readonly options: NotificationOptions;
}

/** What a click on a notification needs to know. */
interface Kept {
  readonly url: string;
}

/**
 * The notification for the text of a push, whatever it is: a browser wants one for each.
 *
 * scope: the URL of the dashboard that the worker belongs to.
 */
export function shownFor(pushed: string | null, scope: string): Shown {
  const given = parsed(pushed);
  const severity = text(given.severity);
  const title = text(given.title) || "Tapecast: an alert";
  const kept: Kept = { url: ownUrl(text(given.url), scope) };
  const options: NotificationOptions = {
    body: text(given.detail),
    // As the page names it, so that what both tell of is shown once.
    tag: `tapecast ${text(given.tag) || text(given.id) || title}`,
    requireInteraction: severity === "critical" && given.state !== "resolved",
    data: kept,
  };
  return { title, options };
}

/** What a click on a notification opens. */
export function urlOf(data: unknown, scope: string): string {
  return ownUrl(text((data as Partial<Kept> | null)?.url), scope);
}

/** Whether a window shows the dashboard, at whatever page of it. */
export function showsDashboard(address: string, scope: string): boolean {
  return address.split(/[?#]/)[0] === scope;
}

/** `url`, where it is of this dashboard's origin: a push opens no other site. */
function ownUrl(url: string, scope: string): string {
  try {
    return new URL(url, scope).origin === new URL(scope).origin ? new URL(url, scope).href : scope;
  } catch {
    return scope;
  }
}

function parsed(pushed: string | null): Readonly<Record<string, unknown>> {
  try {
    const given: unknown = JSON.parse(pushed ?? "");
    if (typeof given === "object" && given !== null) return given as Record<string, unknown>;
  } catch {
    // Shown as an alert that says nothing of itself.
  }
  return {};
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
