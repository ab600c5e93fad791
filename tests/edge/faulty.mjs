/**
 * The worker with faults: wraps the built one, and does to a request's bindings what its header `x-fault` says.
 *
 *   x-fault: queue=reject bucket=hang later=21000 panic
 *
 * `queue` and `bucket`: `reject`, `throw` (before there is a promise), `hang` (never answers), `late` (answers after 5 s, and
 * did it), `half` (the second call of a request is rejected). `later`: milliseconds that the clock is ahead. `panic`: the
 * Rust code ends. `limits` and `salt`: `reject` or `hang`. Separate from run.mjs because it runs inside workerd.
 *
 * What tests look at and push: `GET /faults/bucket` lists the spilled objects, `GET /faults/salt` asks for the day's salt, `POST /faults/drain` is the cron trigger,
 * `PUT /faults/kv/NAME` writes to KV, `POST /faults/queue/NAME` hands the body's list to the worker as messages of the queue
 * NAME and answers what became of each.
 */
import worker from "./index.js";

export * from "./index.js";

const LATE_MS = 5_000;
const RealDate = Date;
const realSetTimeout = setTimeout;

let ahead_ms = 0;
globalThis.Date = class extends RealDate {
  constructor(...values) {
    if (values.length === 0) super(RealDate.now() + ahead_ms);
    else super(...values);
  }
  static now() {
    return RealDate.now() + ahead_ms;
  }
};

/** A call that behaves as `fault` says. */
function faulty(fault, call) {
  let calls = 0;
  return (...values) => {
    calls += 1;
    if (fault === "throw") throw new Error("made to throw");
    if (fault === "hang") return new Promise(() => {});
    if (fault === "reject" || (fault === "half" && calls > 1)) return Promise.reject(new Error("made to fail"));
    if (fault === "late") return new Promise((resolve) => realSetTimeout(resolve, LATE_MS)).then(() => call(...values));
    return call(...values);
  };
}

/** The runtime's bindings are recognised by the names of their classes. */
class WorkerQueue {
  constructor(queue, fault) {
    const call = faulty(fault, (name, value, options) => queue[name](value, options));
    this.send = (value, options) => call("send", value, options);
    this.sendBatch = (value, options) => call("sendBatch", value, options);
  }
}

class R2Bucket {
  constructor(bucket, fault) {
    this.put = faulty(fault, (...values) => bucket.put(...values));
    this.get = (...values) => bucket.get(...values);
    this.list = (...values) => bucket.list(...values);
    this.delete = (...values) => bucket.delete(...values);
  }
}

class DurableObjectNamespace {
  constructor(namespace, fault) {
    this.getByName = (name) => {
      const stub = namespace.getByName(name);
      return { fetch: faulty(fault, (...values) => stub.fetch(...values)) };
    };
  }
}

function broken(env, faults) {
  const changed = { ...env };
  if (faults.queue) changed.EVENTS = new WorkerQueue(env.EVENTS, faults.queue);
  if (faults.bucket) changed.SPILL = new R2Bucket(env.SPILL, faults.bucket);
  if (faults.limits) changed.LIMITS = new DurableObjectNamespace(env.LIMITS, faults.limits);
  if (faults.salt) changed.SALT = new DurableObjectNamespace(env.SALT, faults.salt);
  return changed;
}

async function control(request, env, context) {
  const [, , what, name] = new URL(request.url).pathname.split("/").map(decodeURIComponent);
  if (what === "bucket") {
    const { objects } = await env.SPILL.list();
    return Response.json(objects.map((object) => object.key));
  }
  if (what === "drain") {
    await worker.scheduled({ cron: "* * * * *", scheduledTime: RealDate.now() }, env, context);
    return Response.json({});
  }
  if (what === "salt") {
    const answer = await env.SALT.getByName("salt").fetch("https://salt.invalid/");
    const { keys } = await env.KEYS.list({ prefix: "salt:" });
    return Response.json({ ...(await answer.json()), keys });
  }
  if (what === "kv") {
    await env.KEYS.put(name, await request.text());
    return Response.json({});
  }
  const outcomes = [];
  const messages = (await request.json()).map((body, index) => ({
    id: `message ${index}`,
    timestamp: new RealDate(),
    attempts: 1,
    body,
    ack: () => (outcomes[index] = "ack"),
    retry: () => (outcomes[index] = "retry"),
  }));
  const faults = read(request);
  await worker.queue({ queue: name, messages, ackAll() {}, retryAll() {} }, broken(env, faults), context);
  return Response.json(outcomes);
}

function read(request) {
  const words = (request.headers.get("x-fault") ?? "").split(" ").filter(Boolean);
  return Object.fromEntries(words.map((word) => [...word.split("="), "yes"].slice(0, 2)));
}

export default {
  ...worker,

  async fetch(request, env, context) {
    const path = new URL(request.url).pathname;
    const faults = read(request);
    ahead_ms = Number(faults.later ?? 0);
    if (path.startsWith("/faults/")) return control(request, env, context);
    if (faults.panic) {
      // A timer that can't be set is what the crate `worker` unwraps.
      globalThis.setTimeout = () => {
        throw new Error("made to fail");
      };
    }
    try {
      return await worker.fetch(request, broken(env, faults), context);
    } finally {
      globalThis.setTimeout = realSetTimeout;
      ahead_ms = 0;
    }
  },
};
