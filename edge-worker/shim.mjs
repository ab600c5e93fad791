/**
 * Makes a module worker of the WebAssembly: the handlers that the runtime calls.
 *
 * Separate from the Rust because it must still answer when the Rust can't: a panic ends the module, and then this
 * starts a new one and answers what was under way. A sender gets 503 and sends again; nothing was acknowledged, so
 * nothing is lost. It must not know what a request means.
 */
import * as glue from "edge-worker-glue";
import { limits, Salt } from "./objects.mjs";

/** Shared with crate `worker`, whose panic hook sets `criticalError`. */
const state = glue.__worker_init_state();

/** What gives up each call that is under way. */
const underWay = new Set();

/** The headers that the Rust looks at, in the order of `ReadHead`. */
const HEADERS = [
  "authorization",
  "content-encoding",
  "content-length",
  "access-control-request-headers",
  "origin",
  "referer",
  "user-agent",
  "sec-gpc",
  "cf-connecting-ip",
];

/** Puts method, address and headers into one text, a line for each: the Rust takes it in one step. */
function readHead(request) {
  let head = `${request.method}\n${request.url}`;
  for (const name of HEADERS) head += `\n${request.headers.get(name) ?? ""}`;
  request.rivuletHead = head;
}

/** After a panic the module is beyond use, but the isolate goes on. */
function renew() {
  if (state.criticalError) {
    state.criticalError = false;
    glue.__wbg_reset_state();
  }
}

function giveUpAll(error) {
  state.criticalError = true;
  for (const giveUp of underWay) giveUp(error);
  underWay.clear();
}

// A panic inside a continuation reaches nobody who waits for it; only this event tells of it.
addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) giveUpAll(event.error);
});

/** Runs one handler of the module; fails when the module ends under it. */
async function guarded(handler) {
  renew();
  let giveUp;
  const ended = new Promise((_resolve, reject) => {
    giveUp = reject;
  });
  underWay.add(giveUp);
  try {
    return await Promise.race([handler(), ended]);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) giveUpAll(error);
    throw error;
  } finally {
    underWay.delete(giveUp);
  }
}

/** As `Reply::unavailable` of the collector. */
function unavailable() {
  const body = { error_code: "ServiceUnavailableError", message: "events can't be stored now, send them again later" };
  return new Response(JSON.stringify(body), {
    status: 503,
    headers: {
      "Access-Control-Allow-Origin": "*",
      "Access-Control-Expose-Headers": "Retry-After",
      "Content-Type": "application/json; charset=utf-8",
      "Retry-After": "5",
    },
  });
}

/** The classes that `wrangler.toml` names. */
export const Limits = limits((...values) => {
  renew();
  return glue.lease(...values);
});
export { Salt };

export default {
  async fetch(request, env, context) {
    try {
      readHead(request);
      return await guarded(() => glue.fetch(request, env, context));
    } catch (error) {
      console.error("the collector ended", error);
      return unavailable();
    }
  },

  /** A failure here is the queue's to repeat. */
  queue(batch, env, context) {
    return guarded(() => glue.queue(batch, env, context));
  },

  /** A failure here is made good the next minute. */
  scheduled(event, env, context) {
    return guarded(() => glue.scheduled(event, env, context));
  },
};
