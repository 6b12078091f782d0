import { defineConfig } from "vite";

// Where `npm run dev` finds a hub, such as that of `make demo`.
const target = process.env.TAPECAST_URL ?? "http://127.0.0.1:8000";

/** The dashboard's page; the client and the hooks are built by tsc alone. */
export default defineConfig({
  build: {
    outDir: "dist-app",
    target: "es2022",
    // The policy of the page allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: false,
    // "use client" of TanStack Query means nothing where there is no server to render.
    rolldownOptions: {
      checks: { moduleLevelDirective: false },
      input: { index: "index.html", "push-worker": "src/app/push/worker.ts" },
      output: {
        // Browsers know a service worker by its path, and it serves what lies below that.
        entryFileNames: ({ name }) =>
          name === "push-worker" ? "[name].js" : "assets/[name]-[hash].js",
      },
    },
  },
  server: { proxy: { "/api": target, "/ws": { target, ws: true } } },
  preview: { proxy: { "/api": target, "/ws": { target, ws: true } } },
});
