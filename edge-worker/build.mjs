/**
 * Bundles the worker: our shim and the glue of wasm-bindgen become `index.js`, which loads `index_bg.wasm` beside it.
 *
 * Separate from `xtask`, which compiles the WebAssembly and brings esbuild, because what the worker consists of is the
 * worker's business. Uses node's own modules only.
 */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SHIM = join(dirname(fileURLToPath(import.meta.url)), "shim.mjs");

/** The wasm file as the runtime finds it, beside `index.js`. */
const WASM = "index_bg.wasm";

/**
 * Builds `index.js` and `index_bg.wasm`.
 *
 * @param {object} options
 * @param {typeof import("esbuild")} options.esbuild The bundler.
 * @param {string} options.wasmDir Holds `edge_worker.js`, `edge_worker_bg.wasm` and `snippets/` (wasm-bindgen, target
 *   module, with the reset function and the abort handler).
 * @param {string} options.outDir Where the files go, `target/edge`.
 * @returns {Promise<string[]>} The paths of the files.
 */
export async function build({ esbuild, wasmDir, outDir }) {
  await mkdir(outDir, { recursive: true });
  await esbuild.build({
    entryPoints: [SHIM],
    outfile: join(outDir, "index.js"),
    bundle: true,
    charset: "utf8",
    external: ["cloudflare:*"],
    format: "esm",
    legalComments: "none",
    minify: true,
    platform: "neutral",
    plugins: [glue(wasmDir)],
    target: ["es2022"],
  });
  await copyFile(join(wasmDir, "edge_worker_bg.wasm"), join(outDir, WASM));
  return [join(outDir, "index.js"), join(outDir, WASM)];
}

/** Finds the glue, and leaves the wasm to the runtime. */
function glue(wasmDir) {
  const entry = join(wasmDir, "edge_worker.js");
  return {
    name: "glue",
    setup(bundler) {
      bundler.onResolve({ filter: /^edge-worker-glue$/ }, () => ({ path: entry }));
      bundler.onResolve({ filter: /_bg\.wasm$/ }, () => ({ path: `./${WASM}`, external: true }));
      bundler.onLoad({ filter: /[\\/]edge_worker\.js$/ }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        // The runtime hands out the compiled module for a plain import and doesn't know `import source` yet.
        const contents = text.replace(/^import source (\w+) from /m, "import $1 from ");
        if (contents === text) throw new Error(`${path} is not of wasm-bindgen's target "module"`);
        return { contents, loader: "js" };
      });
    },
  };
}
