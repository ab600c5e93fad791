// Lets a folder's own build.mjs bundle itself: gives it the bundler and the folder of its bindings.
//
// `cargo xtask npm` and `cargo xtask edge` run it after a wasm module is built. It decides nothing about what comes
// out; it only gives all of them the same tools, so that none needs dependencies of its own.
import { mkdir, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as esbuild from "esbuild";

const [script, wasmDir, outDir] = process.argv.slice(2).map((path) => resolve(path));
if (!outDir) {
  console.error("usage: node xtask/bundle.mjs BUILD_MJS FOLDER_OF_BINDINGS FOLDER_OF_RESULTS");
  process.exit(2);
}
const { build } = await import(pathToFileURL(script).href);
await rm(outDir, { recursive: true, force: true });
await mkdir(outDir, { recursive: true });
await build({ esbuild, wasmDir, outDir });
