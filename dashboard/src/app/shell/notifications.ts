import { notifying } from "./settings.ts";

/** Whether this browser can notify at all, here. */
export const canNotify = (): boolean =>
  typeof Notification !== "undefined" && window.isSecureContext;

/** Turn notifications on, where the viewer lets the browser; or off. */
export async function switchNotifications(on: boolean): Promise<void> {
  const isOn = on && (await Notification.requestPermission()) === "granted";
  notifying.set(isOn ? "on" : "off");
}

/** through: where this browser is pushed to as well, so that either shows what both tell of once. */
export function notify(
  title: string,
  options: NotificationOptions,
  through: ServiceWorkerRegistration | null,
): void {
  if (through !== null) {
    void through.showNotification(title, options);
    return;
  }
  try {
    new Notification(title, options);
  } catch (error) {
    // Browsers of phones have the name, and only a service worker may use it.
    if (!(error instanceof TypeError)) throw error;
  }
}
