/**
 * Bundles `@rivulet/charts` from the sources and from what wasm-bindgen left in `wasmDir`.
 *
 * Separate from `xtask`, which compiles the WebAssembly and brings esbuild, because what the package consists of is
 * the package's business. Uses node's own modules only.
 */
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = join(dirname(fileURLToPath(import.meta.url)), "src");

/** The entries: output, source, format. The module lies beside them, where `new URL` finds it and bundlers do too. */
const ENTRIES = [
  { out: "index.js", from: "index.ts", format: "esm" },
  { out: "charts.global.js", from: "global.ts", format: "iife" },
  { out: "inert.js", from: "inert.ts", format: "esm" },
];

/**
 * Builds all files of the package into `outDir`.
 *
 * @param {object} options
 * @param {typeof import("esbuild")} options.esbuild The bundler.
 * @param {string} options.wasmDir Holds `charts.js` and `charts_bg.wasm` (wasm-bindgen, target web).
 * @param {string} options.outDir Where the files go, `npm/charts/dist`.
 * @returns {Promise<string[]>} The paths of the files.
 */
export async function build({ esbuild, wasmDir, outDir }) {
  await mkdir(outDir, { recursive: true });
  for (const { out, from, format } of ENTRIES) {
    const isScript = format === "iife";
    await esbuild.build({
      entryPoints: [join(SOURCES, from)],
      outfile: join(outDir, out),
      alias: { "charts-wasm": join(wasmDir, "charts.js") },
      bundle: true,
      charset: "utf8",
      define: isScript ? {} : { __BASE__: "import.meta.url" },
      format,
      globalName: isScript ? "rivuletCharts" : undefined,
      inject: isScript ? [join(SOURCES, "base.ts")] : [],
      legalComments: "none",
      minify: true,
      platform: "browser",
      target: ["es2022"],
      tsconfigRaw: {},
    });
  }
  await copyFile(join(wasmDir, "charts_bg.wasm"), join(outDir, "charts_bg.wasm"));
  return [...ENTRIES.map(({ out }) => join(outDir, out)), join(outDir, "charts_bg.wasm")];
}
