/**
 * Turns what a page tracks into JSON at once, so that later changes to the objects don't change the event.
 *
 * Separate because this is where the page's own code runs (`toJSON`, getters, proxies) and may throw anything. Knows
 * nothing of queues.
 */

/** Why an event was not taken; the numbers are those of `Client::track` in `sdk-wasm/src/lib.rs`. */
export enum Drop {
  QueueFull = 1,
  TooLarge = 2,
  NotJson = 3,
}

/** An event: its collection as a JSON string, its properties as a JSON object, its time in ms since 1970. */
export type Captured = [collection: string, properties: string, atMs: number];

/** Characters of properties beyond which the event is over 64 KiB in any encoding. */
const CHARS_MAX = 64 * 1024;

/** Copies an event; answers why not if it can't be an event. */
export function encode(collection: unknown, properties: unknown): Captured | Drop {
  try {
    return check(collection, JSON.stringify(properties ?? {}), Date.now());
  } catch {
    return Drop.NotJson;
  }
}

/** Checks an event whose properties are JSON already, as the stub queues them. */
export function check(collection: unknown, properties: unknown, atMs: number): Captured | Drop {
  // `toJSON` may have made anything of an object, and a function is nothing in JSON.
  if (typeof collection !== "string" || typeof properties !== "string" || properties[0] !== "{") return Drop.NotJson;
  if (properties.length + collection.length > CHARS_MAX) return Drop.TooLarge;
  return [JSON.stringify(collection), properties, atMs];
}
