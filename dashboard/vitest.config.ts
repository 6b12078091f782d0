import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vitest/config";

const src = new URL("src", import.meta.url).pathname;

/** The programs of the documents, by their number: `document:migration.md/0.tsx`. */
const documents: Plugin = {
  name: "documents",
  resolveId: (id) => (id.startsWith("document:") ? `/${id}` : null),
  load(id) {
    const [, page, number] = /^\/document:([^/]+)\/(\d+)\.tsx$/.exec(id) ?? [];
    if (page === undefined) return null;
    const text = readFileSync(new URL(`../docs/${page}`, import.meta.url), "utf8");
    return [...text.matchAll(/^```tsx\n(.*?)^```$/gms)][Number(number)]?.[1] ?? null;
  },
};

export default defineConfig({
  plugins: [documents],
  resolve: {
    // What users import is what is tested.
    alias: [
      { find: /^tapecast$/, replacement: `${src}/client/index.ts` },
      { find: /^tapecast\/(react|react\/legacy|testing)$/, replacement: `${src}/$1/index.ts` },
      { find: /^tapecast\/react\/style.css$/, replacement: `${src}/react/style.css` },
    ],
  },
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    // Small machines run this beside pytest.
    maxWorkers: 1,
    testTimeout: 30_000,
    isolate: false,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
