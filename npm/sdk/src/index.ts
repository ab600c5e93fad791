/**
 * The spine of the SDK in the page: `init`, `track` and `flush`, and what each hands on to whom.
 *
 * An event is copied to JSON (`encode`), held here until the WebAssembly is there (`load`), and then belongs to the
 * Rust client, which decides when and how it leaves. No rule of delivery stands here. Nothing is done at import, and
 * nothing here throws into the page. What users read about these functions is in `types/index.d.ts`.
 */
import type { FlushResult, InitOptions, Properties } from "../types/index.d.ts";
import { batchesUrl } from "./batches-url.ts";
import { type Captured, Drop, encode } from "./encode.ts";
import { type Client, load } from "./load.ts";

/** Events held before the client is there; the client's own limits are the same. */
const HELD_EVENTS_MAX = 1_000;
const HELD_CHARS_MAX = 1024 * 1024;

/** Settles when the client is there, or when it is sure that there will be none. */
let ready: Promise<void> | undefined;
let client: Client | undefined;
let held: Captured[] = [];
let heldChars = 0;
/** Drops that no client knows of, by code. */
let drops: number[] = [];
let debug = false;
let halt: (() => void) | undefined;
const halted = new Promise<boolean>((resolve) => (halt = () => resolve(false)));

export function init(options: InitOptions): void {
  try {
    const url = batchesUrl(options);
    if (ready) return note("init was called again; the first call counts");
    debug = options.debug === true;
    ready = load(options.wasm, stop)
      .then((NewClient) => hand(new NewClient(url, refused)))
      .catch(stop);
  } catch (error) {
    console.warn("rivulet: events are not sent:", error);
  }
}

export function track(collection: string, properties?: Properties): void {
  accept(encode(collection, properties));
}

export async function flush(): Promise<FlushResult> {
  await ready;
  try {
    const asked = client;
    if (asked) {
      const answered = new Promise<boolean>((resolve) => asked.flush(resolve));
      const delivered = await Promise.race([answered, halted]);
      if (client) return { delivered, waiting: client.waiting(), dropped: client.dropped() };
    }
  } catch (error) {
    stop(error);
  }
  const dropped = drops.reduce((sum, count) => sum + count, 0);
  return { delivered: held.length === 0 && halt !== undefined, waiting: held.length, dropped };
}

/** Takes an event from `track`, or from the stub that queued it earlier, or counts why it can't be taken. */
export function accept(event: Captured | Drop): void {
  try {
    const code = typeof event === "number" ? count(event) : client ? client.track(...event) : hold(event);
    if (code) note("an event was dropped:", Drop[code]);
  } catch (error) {
    stop(error);
  }
}

function hold(event: Captured): Drop | 0 {
  const chars = event[0].length + event[1].length;
  if (held.length >= HELD_EVENTS_MAX || heldChars + chars > HELD_CHARS_MAX) return count(Drop.QueueFull);
  heldChars += chars;
  held.push(event);
  return 0;
}

function count(code: Drop): Drop {
  if (client) client.count_drops(code, 1);
  else drops[code] = (drops[code] ?? 0) + 1;
  return code;
}

/** The client is there: it gets what was held, in order. */
function hand(started: Client): void {
  client = started;
  const [events, counts] = [held, drops];
  [held, drops, heldChars] = [[], [], 0];
  counts.forEach((dropped, code) => started.count_drops(code, dropped));
  events.forEach(accept);
}

/** WebAssembly is forbidden, missing or failed: collecting stops, and the page goes on. */
function stop(error: unknown): void {
  if (!halt) return;
  halt();
  client = halt = undefined;
  note("collecting has stopped; events are held but not sent:", error);
}

/** Called by the client after a request that was not accepted; it decides itself what follows. */
function refused(status: number, events: number): void {
  note(`a request with ${events} events was not accepted: ${status ? `status ${status}` : "no usable answer"}`);
}

function note(...words: unknown[]): void {
  if (debug) console.warn("rivulet:", ...words);
}
