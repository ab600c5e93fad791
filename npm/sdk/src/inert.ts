/**
 * What Node and workerd get: the same functions, doing nothing, so that code which also renders on a server needs no
 * checks. No event is captured and nothing is kept.
 */
import type { FlushResult, InitOptions, Properties } from "../types/index.d.ts";

export function init(_options: InitOptions): void {}

export function track(_collection: string, _properties?: Properties): void {}

export async function flush(): Promise<FlushResult> {
  return { delivered: true, waiting: 0, dropped: 0 };
}
