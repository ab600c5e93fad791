/**
 * The stub: `dist/stub.js`, at most 1 KB, to stand in a page before everything else. Queues calls until
 * `rivulet.js` takes them over, whenever and in whatever way that is loaded.
 *
 * An event is copied to JSON at once, and its time is that of the call. Beyond 1,000 events further ones are not
 * kept. Shares no code with the other entries, only the form of its queue.
 */
import type { FlushResult, InitOptions, Properties } from "../types/index.d.ts";

/** A queued event: collection, properties as JSON, ms since 1970. Unchecked, as the page gave it. */
export type StubEntry = [collection: unknown, properties: string | undefined, atMs: number];

/** The global `rivulet`; the one-letter members are the stub's and mean queue, options and flushes. */
export interface Stub {
  init(options: InitOptions): void;
  track(collection: string, properties?: Properties): void;
  flush(): Promise<FlushResult>;
  q?: StubEntry[];
  o?: InitOptions;
  f?: ((result: Promise<FlushResult>) => void)[];
}

declare global {
  interface Window {
    rivulet: Stub;
  }
}

if (typeof window.rivulet?.track !== "function") {
  const q: StubEntry[] = [];
  const f: ((result: Promise<FlushResult>) => void)[] = [];
  const stub: Stub = (window.rivulet = {
    q,
    f,
    init(options) {
      stub.o ??= options;
    },
    track(collection, properties) {
      let json: string | undefined;
      try {
        json = JSON.stringify(properties ?? {});
      } catch {
        // Counted as dropped when the queue is taken over.
      }
      if (q.length < 1_000) q.push([collection, json, Date.now()]);
      else if (stub.o?.debug && q.length === 1_000) console.warn("rivulet: the queue is full");
    },
    flush: () => new Promise((resolve) => f.push(resolve)),
  });
}
