/**
 * What `build.mjs` provides: the glue that wasm-bindgen writes, and where this script was loaded from.
 */

declare module "charts-wasm" {
  export default function start(from: { module_or_path: URL }): Promise<unknown>;
  export function plan(
    numbers: Float64Array,
    text: string,
    ruler: { width(text: string, size: number, bold: boolean): number },
  ): Uint8Array<ArrayBuffer>;
}

/** Address of the running script, beside which the wasm file lies. */
declare const __BASE__: string;
