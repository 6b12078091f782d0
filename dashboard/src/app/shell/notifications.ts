import { notifying } from "./settings.ts";

/** Whether this browser can notify at all, here. */
export const canNotify = (): boolean =>
  typeof Notification !== "undefined" && window.isSecureContext;

/** Turn notifications on, where the viewer lets the browser; or off. */
export async function switchNotifications(on: boolean): Promise<void> {
  const isOn = on && (await Notification.requestPermission()) === "granted";
  notifying.set(isOn ? "on" : "off");
}

export function notify(title: string, options: NotificationOptions): void {
  try {
    new Notification(title, options);
  } catch (error) {
    // Browsers of phones have the name, and only a service worker may use it.
    if (!(error instanceof TypeError)) throw error;
  }
}
