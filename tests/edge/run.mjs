/**
 * Runs the built edge worker on this machine under workerd, with KV and a Queue whose consumer is the same worker.
 *
 * Separate from the tests because they are Rust and start it as a process:
 *
 *   node tests/edge/run.mjs '{"worker":"target/edge","server":"http://127.0.0.1:8080","secret":"…","port":0,
 *                             "keys":{"project:p":{},"key:<hash>":{…}}}'
 *
 * With `"faults":true` the worker is the one of `faulty.mjs`; `rates` are its default limits, `cf` what Cloudflare would know
 * of a caller.
 *
 * It prints `READY http://127.0.0.1:PORT` when it answers, and ends with its standard input or at SIGTERM. Messages
 * that the queue has not delivered by then are gone: a property of the simulator, not of Cloudflare.
 *
 * Needs Node 22 or later: npm's package `node` brings one (`tests/node_modules/node/bin/node`).
 */
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare } from "miniflare";

const { worker, server, secret, port = 0, keys = {}, faults, rates, cf = false } = JSON.parse(process.argv[2] ?? "{}");
if (!worker || !server || !secret) {
  console.error('usage: run.mjs \'{"worker":DIR,"server":URL,"secret":TEXT,"port":N,"keys":{NAME:VALUE}}\'');
  process.exit(2);
}

const root = resolve(worker);
const modules = [
  { type: "ESModule", path: join(root, "index.js") },
  { type: "CompiledWasm", path: join(root, "index_bg.wasm") },
];
if (faults) {
  const contents = await readFile(join(dirname(fileURLToPath(import.meta.url)), "faulty.mjs"), "utf8");
  modules.unshift({ type: "ESModule", path: join(root, "faulty.mjs"), contents });
}
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port,
  log: new Log(LogLevel.WARN),
  // No look-up of where we are: tests need no network.
  cf,
  name: "edge",
  compatibilityDate: "2026-07-01",
  modulesRoot: root,
  modules,
  bindings: { RIVULET_SERVER: server, RIVULET_APPEND_SECRET: secret, ...(rates && { RIVULET_RATES: JSON.stringify(rates) }) },
  kvNamespaces: ["KEYS"],
  r2Buckets: ["SPILL"],
  durableObjects: {
    LIMITS: { className: "Limits", useSQLite: true },
    SALT: { className: "Salt", useSQLite: true },
  },
  queueProducers: { EVENTS: "events" },
  // The shortest waits the simulator allows.
  queueConsumers: {
    events: { maxBatchSize: 100, maxBatchTimeout: 0, maxRetries: 10, retryDelay: 1, deadLetterQueue: "events-dead" },
    "events-dead": { maxBatchSize: 100, maxBatchTimeout: 0, maxRetries: 10, retryDelay: 1 },
  },
});

async function stop() {
  await miniflare.dispose();
  process.exit(0);
}
process.stdin.on("end", stop).on("close", stop).resume();
process.on("SIGTERM", stop).on("SIGINT", stop);

const address = await miniflare.ready;
const namespace = await miniflare.getKVNamespace("KEYS");
for (const [name, value] of Object.entries(keys)) await namespace.put(name, JSON.stringify(value));
console.log(`READY ${address.origin}`);
