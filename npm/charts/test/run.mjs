/**
 * Type-checks the sources, the declarations and the README's code (`readme.ts`), as a user's compiler would.
 *
 * Needs `typescript` where node finds it from here (the root's node_modules). Exits with 1 and the errors on failure.
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const TSC = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

const { status, stdout, stderr } = spawnSync(process.execPath, [TSC, "-p", PACKAGE], { encoding: "utf8" });
process.stdout.write(stdout + stderr);
process.exitCode = status === 0 ? 0 : 1;
