// What Web Push asks of a browser.

const WORKER = "/push-worker.js";
/** As the hub's policy names it, see hub/server/routes.py. */
const POLICY = "tapecast-push";

/** The part of a browser that is used; tests have one of their own. */
export interface Ground {
  /** Whether this browser can be pushed to, here. */
  readonly isThere: boolean;
  /** Ask the viewer, unless that was done. */
  permit(): Promise<NotificationPermission>;
  /** The service worker, installed where it is not. */
  register(): Promise<ServiceWorkerRegistration>;
  /** The one that was installed before. */
  registration(): Promise<ServiceWorkerRegistration | undefined>;
}

export const browserGround: Ground = {
  get isThere() {
    return (
      window.isSecureContext &&
      "serviceWorker" in navigator &&
      "PushManager" in window &&
      "Notification" in window
    );
  },
  permit: () => Notification.requestPermission(),
  async register() {
    await navigator.serviceWorker.register(workerUrl(), { scope: "/" });
    return navigator.serviceWorker.ready;
  },
  registration: () => navigator.serviceWorker.getRegistration("/"),
};

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL: () => string },
  ): { createScriptURL(text: string): unknown };
}

let trusted: unknown;

/** The worker's URL, as a browser with trusted types takes it: from a policy that knows no other. */
function workerUrl(): string {
  const { trustedTypes } = window as { trustedTypes?: TrustedTypes };
  if (trustedTypes === undefined) return WORKER;
  trusted ??= trustedTypes.createPolicy(POLICY, { createScriptURL: () => WORKER });
  return (trusted as ReturnType<TrustedTypes["createPolicy"]>).createScriptURL("") as string;
}
