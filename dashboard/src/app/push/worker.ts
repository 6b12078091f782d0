// The dashboard's service worker: shows what is pushed, and nothing else. It keeps no files, so
// that no page of an older version meets a hub.

import { shownFor, showsDashboard, urlOf } from "./message.ts";

// Of TypeScript's libraries the page's and the worker's exclude each other: what is used here.
interface WaitingEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface PushEvent extends WaitingEvent {
  readonly data: { text(): string } | null;
}
interface ClickEvent extends WaitingEvent {
  readonly notification: Notification;
}
interface Window {
  readonly url: string;
  focus(): Promise<unknown>;
}
interface Worker {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: {
    matchAll(options: { type: "window"; includeUncontrolled: true }): Promise<readonly Window[]>;
    openWindow(url: string): Promise<unknown>;
  };
  skipWaiting(): Promise<void>;
  addEventListener(name: "install", listen: (event: WaitingEvent) => void): void;
  addEventListener(name: "push", listen: (event: PushEvent) => void): void;
  addEventListener(name: "notificationclick", listen: (event: ClickEvent) => void): void;
}

const worker = globalThis as unknown as Worker;
const { scope } = worker.registration;

// There is nothing that a page of an older version would miss.
worker.addEventListener("install", (event) => event.waitUntil(worker.skipWaiting()));

worker.addEventListener("push", (event) => {
  const { title, options } = shownFor(event.data?.text() ?? null, scope);
  event.waitUntil(worker.registration.showNotification(title, options));
});

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(look(urlOf(event.notification.data, scope)));
});

/** Bring the dashboard to the front, where one is open, or open it. */
async function look(url: string): Promise<unknown> {
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = windows.find((each) => showsDashboard(each.url, scope));
  return open === undefined ? worker.clients.openWindow(url) : open.focus();
}
