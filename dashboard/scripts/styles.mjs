// The styles are published as they are written, beside the components that they belong to.
import { copyFileSync, writeFileSync } from "node:fs";

copyFileSync("src/react/style.css", "dist/react/style.css");
// TypeScript 6 and newer look for types of what is imported for its effect, too.
writeFileSync("dist/react/style.css.d.ts", "export {};\n");
