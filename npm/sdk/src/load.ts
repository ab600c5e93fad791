/**
 * Gets the WebAssembly into the page: from the text that `build.mjs` puts into the bundle, or from where the page
 * says. Separate because it is the only file that knows the generated glue.
 */
import type { WasmSource } from "../types/index.d.ts";
import { onTrap } from "./guard.ts";
import { Client, default as initialize } from "rivulet:glue";
import inlined from "rivulet:wasm";

export type { Client } from "rivulet:glue";

/**
 * Compiles and starts the module. Rejects where a page's policy forbids it (a CSP without `wasm-unsafe-eval`), where
 * there is no WebAssembly, and where there is no source. `trapped` is told if it fails later.
 */
export async function load(
  source: WasmSource | Promise<WasmSource> | undefined,
  trapped: (error: unknown) => void,
): Promise<typeof Client> {
  if (!source && !inlined) throw new TypeError("this entry needs the option wasm");
  onTrap(trapped);
  const wasm = (await source) ?? Uint8Array.from(atob(inlined), (char) => char.charCodeAt(0));
  await initialize({ module_or_path: wasm });
  return Client;
}
