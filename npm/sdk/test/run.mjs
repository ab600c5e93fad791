/**
 * Type-checks the sources, the type test and every `ts` block of the README and of the declarations, as a user's
 * compiler would.
 *
 * Needs `typescript` where node finds it from here (the root's node_modules). Exits with 1 and the errors on failure.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const TSC = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
const declarations = readFileSync(join(PACKAGE, "types/index.d.ts"), "utf8").replace(/^ \* ?/gm, "");
const examples = [readme, declarations].flatMap((text) => [...text.matchAll(/^```ts\n(.*?)^```/gms)]);

const folder = mkdtempSync(join(tmpdir(), "rivulet-sdk-types-"));
examples.forEach(([, code], number) => writeFileSync(join(folder, `example-${number}.ts`), `${code}\nexport {};\n`));
// Examples make things that they don't use, and wait at the top level, which needs a newer language than the sources'.
const compilerOptions = { noUnusedLocals: false, target: "es2022" };
const project = { extends: join(PACKAGE, "tsconfig.json"), compilerOptions, include: ["*.ts"] };
writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project));

const results = [PACKAGE, folder].map((path) => spawnSync(process.execPath, [TSC, "-p", path], { encoding: "utf8" }));
rmSync(folder, { recursive: true });
for (const { stdout, stderr } of results) process.stdout.write(stdout + stderr);
const failed = results.filter(({ status }) => status !== 0).length;
console.log(`the package and ${examples.length} examples: ${failed === 0 ? "types are right" : "types are wrong"}`);
process.exitCode = failed === 0 ? 0 : 1;
