// Keen's own Python client, keen 0.7.0 from PyPI, unmodified, pointed at our server: writes, keys, inspection, deletion.
//
// Nobody here wrote it, so it shows that the API is Keen's API. keen_python.py makes the calls; what is right is judged here.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { check, finish } from "../browser/lib/check.mjs";
import { eventually, startServer } from "../browser/lib/server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** The client and what it needs, at the versions that were tried. */
const PACKAGES = ["keen==0.7.0", "requests==2.34.2", "pycryptodome==4.4.0", "six==1.17.0"];
/** An acknowledged event is visible within a second; the rest is for a busy machine. */
const VISIBLE_MS = 10_000;

/** Installs the packages into a folder of their own, once. */
function libraries() {
  const folder = join(here, "../node_modules/.python", PACKAGES.join("+"));
  if (!existsSync(join(folder, "keen"))) {
    mkdirSync(folder, { recursive: true });
    const words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    execFileSync("python3", [...words, "--target", folder, ...PACKAGES], { stdio: "inherit" });
  }
  return folder;
}

const library = libraries();
const server = await startServer({ site: false });

/** Runs one part of the script and gives its facts. */
function facts(part, more = {}) {
  const env = {
    ...process.env,
    PYTHONPATH: library,
    RIVULET_SERVER: server.url,
    RIVULET_PROJECT: server.project.project_id,
    RIVULET_WRITE_KEY: server.project.write_key,
    RIVULET_READ_KEY: server.project.read_key,
    RIVULET_MASTER_KEY: server.project.master_key,
    ...more,
  };
  const words = execFileSync("python3", [join(here, "keen_python.py"), part], { encoding: "utf8", env });
  return Object.fromEntries(words.trim().split("\n").map((line) => JSON.parse(line)).map((one) => [one.fact, one.value]));
}

/** Waits until a collection holds exactly `wanted` events. */
function stored(collection, wanted) {
  const ask = () => server.query("count", { event_collection: collection }).catch((error) => error.message);
  return eventually(`count of ${collection}`, VISIBLE_MS, ask, (count) => count === wanted);
}

await check("PyPI keen writes events, lists of events and image beacons", async () => {
  const found = facts("write");
  assert.deepEqual(found.bulk["sign ups"], [{ success: true }]);
  assert.deepEqual(found.bulk.visits.map((one) => one.success), [true, true, false]);
  assert.equal(found.bulk.visits[2].error.name, "InvalidPropertyNameError");
  assert.equal(found.beacon[0], 200);
  assert.equal(found.beacon[1], "image/gif");
  assert.equal(found["wrong key"], "InvalidApiKeyError");
  assert.equal(found["bad event"], "InvalidPropertyNameError");
  await stored("sign ups", 2);
  await stored("visits", 2);
  await stored("opened mails", 1);
  await stored("dated", 1);
});

await check("PyPI keen sees collections, types and answers", () => {
  const found = facts("look");
  assert.deepEqual(found.collections, ["dated", "opened mails", "sign ups", "visits"]);
  assert.equal(found.collection.properties.price, "num");
  assert.equal(found.collection.properties.plan, "string");
  assert.equal(found.collection.properties["keen.timestamp"], "datetime");
  assert.deepEqual([found.count, found.sum, found.dated], [2, 14.5, 1]);
});

let ownKey;
await check("PyPI keen makes, changes, revokes and restores an access key", async () => {
  const found = facts("keys");
  ownKey = found.key;
  assert.match(ownKey, /^[A-Za-z0-9]+$/);
  assert.equal(found.made.name, "customer 93");
  assert.deepEqual(found.made.options.saved_queries, null);
  assert.deepEqual(found.made.options.writes, { autofill: { customer: { id: 93 } } });
  assert.deepEqual([...found.made.permitted].sort(), ["queries", "writes"]);
  assert.ok(found.listed.includes("customer 93"));
  assert.deepEqual([found.got, found.renamed], ["customer 93", "customer 93 b"]);
  assert.deepEqual(found.narrowed, ["queries"]);
  assert.equal(found["write without permit"], "KeyNotPermittedError");
  assert.equal(found.revoked, "InvalidApiKeyError");
  assert.equal(found.unrevoked, true);
  assert.deepEqual(found["kept options"], found.made.options);
  await stored("orders", 2);
});

await check("a legacy scoped key of PyPI keen reads through its filters and may not write", () => {
  const found = facts("scoped");
  assert.equal(found["scoped secret before"], null);
  assert.equal(found["scoped count"], 1);
  assert.equal(found["scoped write"], "KeyNotPermittedError");
});

await check("an access key sees what its own autofill marked, until it is deleted", () => {
  const found = facts("own", { RIVULET_OWN_KEY: ownKey });
  assert.deepEqual([found["own count"], found["all count"], found["deleted key"]], [1, 2, "InvalidApiKeyError"]);
});

await check("PyPI keen deletes matching events and whole collections", () => {
  const found = facts("delete");
  assert.equal(found["after filter"], 1);
  assert.deepEqual(found["after collection"], ["opened mails", "orders", "sign ups", "visits"]);
  assert.equal(found["delete with the read key"], "AdminOnlyEndpointError");
});

await server.stop();
finish();
