// The styles are published as they are written, beside the components that they belong to.
import { copyFileSync } from "node:fs";

copyFileSync("src/react/style.css", "dist/react/style.css");
