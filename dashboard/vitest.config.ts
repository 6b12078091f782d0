import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.{ts,tsx}"],
    // Small machines run this beside pytest.
    maxWorkers: 1,
    isolate: false,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
