// The client stays small: bundled and minified as an application's build does it, then gzipped.
import { gzipSync } from "node:zlib";
import { build } from "vite";

const MAX_BYTES = 8000;

const { output } = await build({
  configFile: false,
  logLevel: "warn",
  build: {
    write: false,
    modulePreload: false,
    rolldownOptions: {
      input: "dist/client/index.js",
      preserveEntrySignatures: "strict",
      output: { minify: true },
    },
  },
});
const bytes = output.reduce((sum, chunk) => sum + gzipSync(chunk.code, { level: 9 }).length, 0);
const verdict = `client: ${bytes} bytes minified and gzipped, ${MAX_BYTES} allowed`;
if (bytes > MAX_BYTES) {
  console.error(verdict);
  process.exit(1);
}
console.log(verdict);
