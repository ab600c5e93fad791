/**
 * The public types of `@rivulet/sdk`, written by hand: what an editor shows is decided here.
 * `test/types.ts` fails if the sources and these declarations differ.
 */

/** A value that JSON can hold. `undefined` members are left out, dates become ISO 8601 texts. */
export type PropertyValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | Date
  | readonly PropertyValue[]
  | { readonly [name: string]: PropertyValue };

/**
 * What is known about an event.
 *
 * At most 64 KiB as JSON. Names must not contain a dot.
 *
 * @example
 * ```ts
 * import type { Properties } from "@rivulet/sdk";
 *
 * const properties: Properties = { item: { name: "Teapot", price: 34.5 }, quantity: 2 };
 * ```
 */
export type Properties = { readonly [name: string]: PropertyValue };

/** Where events go. */
export interface InitOptions {
  /** The project's id. */
  project: string;
  /** A write key of the project. It can only append events, so it may stand in a page. */
  key: string;
  /** The collector's origin, such as `https://events.example.com`. */
  host: string;
  /** Says on the console what is dropped or refused. Off by default; nothing is written to the console then. */
  debug?: boolean;
  /**
   * Where the WebAssembly comes from. The main entry has it inside and needs nothing; `@rivulet/sdk/manual` has not.
   * For an integrity check pass `fetch(url, { integrity })`.
   */
  wasm?: WasmSource | Promise<WasmSource>;
}

/** A place, an answer, the bytes or the compiled module of `@rivulet/sdk/sdk_wasm_bg.wasm`. */
export type WasmSource = string | URL | Response | BufferSource | WebAssembly.Module;

/** What became of the events captured before a {@link flush}. */
export interface FlushResult {
  /** Whether the collector has answered for all of them. If not, they are kept and sent later. */
  delivered: boolean;
  /** Events that are still kept, those captured since included. */
  waiting: number;
  /** Events dropped since the page was loaded: no JSON, too large, queue full, or refused by the collector. */
  dropped: number;
}

/**
 * Says where events go and starts to send.
 *
 * Events tracked earlier are kept and sent now. Only the first call counts. Never throws: options that can't work
 * are reported on the console, and events are then kept but not sent.
 *
 * @example
 * ```ts
 * import { init } from "@rivulet/sdk";
 *
 * init({ project: "5f0c1d2e3a4b5c6d7e8f9a0b", key: "rvw…", host: "https://events.example.com" });
 * ```
 */
export function init(options: InitOptions): void;

/**
 * Captures an event: `properties` are copied at once and sent soon, together with others.
 *
 * Never throws and never waits. An event that can't be written as a JSON object, or is over 64 KiB, or comes when
 * 1,000 events or 1 MiB wait already, is dropped and counted.
 *
 * @example
 * ```ts
 * import { track } from "@rivulet/sdk";
 *
 * track("purchases", { item: { name: "Teapot", price: 34.5 }, quantity: 2 });
 * ```
 */
export function track(collection: string, properties?: Properties): void;

/**
 * Sends what waits without waiting for more, and tells what became of it.
 *
 * Not needed before a page ends: what waits then is sent by the browser. Never rejects. During the pause after a
 * failed request nothing is sent and `delivered` is false at once.
 *
 * @example
 * ```ts
 * import { flush, track } from "@rivulet/sdk";
 *
 * track("signups", { plan: "team" });
 * const { delivered } = await flush();
 * ```
 */
export function flush(): Promise<FlushResult>;
