/**
 * The script tag: `dist/rivulet.js`. Makes the global `rivulet`, takes over what the stub queued, and starts with the
 * attributes `data-project`, `data-key`, `data-host` and `data-debug` of its own tag.
 *
 * Separate from the npm entry because it touches `window` when it is loaded, which that one must not.
 */
import type { InitOptions } from "../types/index.d.ts";
import { check } from "./encode.ts";
import { accept, flush, init, track } from "./index.ts";
import type { Stub, StubEntry } from "./stub.ts";

try {
  const tag = document.currentScript;
  const found: Partial<Stub> | undefined = window.rivulet;
  // Anything may be called `rivulet` in a page, an element's id for instance.
  const stub: Partial<Stub> = typeof found?.track === "function" ? found : (window.rivulet = {} as Stub);
  const { q: queued, o: options, f: flushes } = stub;
  if (options) init(options);
  if (tag instanceof HTMLElement && tag.dataset["project"]) init(fromTag(tag));
  Object.assign(stub, { init, track, flush });
  const take = ([collection, properties, at]: StubEntry): void => accept(check(collection, properties, at));
  if (queued) {
    queued.forEach(take);
    // A page that kept the stub's `track` still gets through.
    queued.push = (...entries) => (entries.forEach(take), 0);
  }
  flushes?.forEach((resolve) => resolve(flush()));
} catch {
  // A page that breaks even this goes on without us.
}

function fromTag(tag: HTMLElement): InitOptions {
  const { project = "", key = "", host, debug } = tag.dataset;
  const origin = tag instanceof HTMLScriptElement && tag.src ? new URL(tag.src).origin : "";
  return { project, key, host: host ?? origin, debug: debug !== undefined };
}
