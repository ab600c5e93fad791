/**
 * Says where batches are posted. The key is in the address because a header would cost a preflight request per page.
 */
import type { InitOptions } from "../types/index.d.ts";

/** The address for a project's batches; throws, with words for the developer, if the options can't make one. */
export function batchesUrl({ project, key, host }: InitOptions): string {
  if (!project || !key || !host) throw new TypeError("init needs project, key and host");
  const origin = String(host).replace(/\/+$/, "");
  return `${origin}/3.0/projects/${encodeURIComponent(project)}/batches?api_key=${encodeURIComponent(key)}`;
}
