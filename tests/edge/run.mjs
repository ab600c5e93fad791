/**
 * Runs the built edge worker on this machine under workerd, with KV and a Queue whose consumer is the same worker.
 *
 * Separate from the tests because they are Rust and start it as a process:
 *
 *   node tests/edge/run.mjs '{"worker":"target/edge","server":"http://127.0.0.1:8080","secret":"…","port":0,
 *                             "keys":{"project:p":{},"key:<hash>":{…}}}'
 *
 * It prints `READY http://127.0.0.1:PORT` when it answers, and ends with its standard input or at SIGTERM. Messages
 * that the queue has not delivered by then are gone: a property of the simulator, not of Cloudflare.
 *
 * Needs Node 22 or later: npm's package `node` brings one (`tests/node_modules/node/bin/node`).
 */
import { join, resolve } from "node:path";
import { Log, LogLevel, Miniflare } from "miniflare";

const { worker, server, secret, port = 0, keys = {} } = JSON.parse(process.argv[2] ?? "{}");
if (!worker || !server || !secret) {
  console.error('usage: run.mjs \'{"worker":DIR,"server":URL,"secret":TEXT,"port":N,"keys":{NAME:VALUE}}\'');
  process.exit(2);
}

const root = resolve(worker);
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port,
  log: new Log(LogLevel.WARN),
  // No look-up of where we are: tests need no network.
  cf: false,
  name: "edge",
  compatibilityDate: "2026-07-01",
  modulesRoot: root,
  modules: [
    { type: "ESModule", path: join(root, "index.js") },
    { type: "CompiledWasm", path: join(root, "index_bg.wasm") },
  ],
  bindings: { RIVULET_SERVER: server, RIVULET_APPEND_SECRET: secret },
  kvNamespaces: ["KEYS"],
  queueProducers: { EVENTS: "events" },
  // The shortest waits the simulator allows; what is not taken ends in a queue that nobody reads.
  queueConsumers: {
    events: { maxBatchSize: 100, maxBatchTimeout: 0, maxRetries: 10, retryDelay: 1, deadLetterQueue: "events-dead" },
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
