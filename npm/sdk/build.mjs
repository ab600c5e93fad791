/**
 * Bundles `@rivulet/sdk` from the sources and from what wasm-bindgen left in `wasmDir`.
 *
 * Separate from `xtask`, which compiles the WebAssembly and brings esbuild, because what the package consists of is
 * the package's business. Uses node's own modules only.
 */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = join(dirname(fileURLToPath(import.meta.url)), "src");

/** The entries: output, source, format, and whether the module is inside. */
const ENTRIES = [
  { out: "index.js", from: "index.ts", format: "esm", inline: true },
  { out: "manual.js", from: "index.ts", format: "esm", inline: false },
  { out: "rivulet.js", from: "script.ts", format: "iife", inline: true },
  { out: "stub.js", from: "stub.ts", format: "iife", inline: false },
  { out: "inert.js", from: "inert.ts", format: "esm", inline: false },
];

/**
 * Builds all files of the package into `outDir`.
 *
 * @param {object} options
 * @param {typeof import("esbuild")} options.esbuild The bundler.
 * @param {string} options.wasmDir Holds `sdk_wasm.js` and `sdk_wasm_bg.wasm` (wasm-bindgen, target web).
 * @param {string} options.outDir Where the files go, `npm/sdk/dist`.
 * @returns {Promise<string[]>} The paths of the files.
 */
export async function build({ esbuild, wasmDir, outDir }) {
  await mkdir(outDir, { recursive: true });
  const wasm = join(wasmDir, "sdk_wasm_bg.wasm");
  const base64 = (await readFile(wasm)).toString("base64");
  const glue = guarded(await readFile(join(wasmDir, "sdk_wasm.js"), "utf8"));
  for (const { out, from, format, inline } of ENTRIES) {
    await esbuild.build({
      stdin: { contents: await entry(from, format), resolveDir: SOURCES, sourcefile: `entry-${from}`, loader: "ts" },
      outfile: join(outDir, out),
      bundle: true,
      charset: "utf8",
      format,
      legalComments: "none",
      minify: true,
      platform: "browser",
      plugins: [virtual(glue, inline ? base64 : "")],
      target: ["es2020"],
      tsconfigRaw: {},
    });
  }
  await copyFile(wasm, join(outDir, "sdk_wasm_bg.wasm"));
  return [...ENTRIES.map(({ out }) => join(outDir, out)), join(outDir, "sdk_wasm_bg.wasm")];
}

/** The npm entries show the public functions only; the script entries are taken as they are. */
async function entry(from, format) {
  if (format === "iife") return readFile(join(SOURCES, from), "utf8");
  return `export { flush, init, track } from "./${from}";`;
}

/** Puts the guard of `src/guard.ts` between the glue and the module. */
function guarded(glue) {
  const parts = glue.split("wasm = instance.exports;");
  if (parts.length !== 2) throw new Error("wasm-bindgen's glue has changed: see guarded() in npm/sdk/build.mjs");
  return `import { guard } from "./guard.ts";\n${parts.join("wasm = guard(instance.exports);")}`;
}

/** Answers the imports `rivulet:glue` and `rivulet:wasm`. */
function virtual(glue, base64) {
  return {
    name: "rivulet",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^rivulet:/ }, ({ path }) => ({ path, namespace: "rivulet", sideEffects: false }));
      onLoad({ filter: /:glue$/, namespace: "rivulet" }, () => ({ contents: glue, resolveDir: SOURCES, loader: "js" }));
      onLoad({ filter: /:wasm$/, namespace: "rivulet" }, () => ({ contents: base64, loader: "text" }));
    },
  };
}
