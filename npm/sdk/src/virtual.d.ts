/**
 * What `build.mjs` puts in the place of two imports: the glue that wasm-bindgen writes, and the module as text.
 */

declare module "rivulet:glue" {
  /** `Client` of `sdk-wasm/src/lib.rs`. */
  export class Client {
    constructor(url: string, report: (status: number, events: number) => void);
    track(collection: string, properties: string, atMs: number): number;
    count_drops(code: number, count: number): void;
    flush(done: (delivered: boolean) => void): void;
    waiting(): number;
    dropped(): number;
  }
  export default function initialize(options: {
    module_or_path: string | URL | Response | BufferSource | WebAssembly.Module;
  }): Promise<unknown>;
}

declare module "rivulet:wasm" {
  /** The module in base64; empty in the manual entry. */
  const inlined: string;
  export default inlined;
}
