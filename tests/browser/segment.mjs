// Clients made for others, unmodified: Segment's and RudderStack's libraries for Node, pointed at our server.
//
// What they believe to have sent is compared with what the server has stored.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { check, finish } from "./lib/check.mjs";
import { eventually, startServer } from "./lib/server.mjs";

const require = createRequire(import.meta.url);
const { Analytics } = require("@segment/analytics-node");
const Rudder = require("@rudderstack/rudder-sdk-node");
/** An acknowledged event is visible within a second; the rest is for a busy machine. */
const VISIBLE_MS = 10_000;
/** Events of the large run: several batches of each library. */
const MANY = 60;

const server = await startServer({ site: false });
const writeKey = server.project.write_key;

/** Waits until a collection holds exactly `wanted` events. */
function stored(collection, wanted) {
  const ask = () => server.query("count", { event_collection: collection }).catch((error) => error.message);
  return eventually(`count of ${collection}`, VISIBLE_MS, ask, (count) => count === wanted);
}

/** How many events of a collection have this value. */
function having(collection, property, value) {
  const filters = [{ property_name: property, operator: "eq", property_value: value }];
  return server.query("count", { event_collection: collection, filters });
}

/** Sends every kind of call, and then many. */
function callAll(client, tag) {
  client.track({ userId: "u1", event: `${tag} Order`, properties: { total: 12.5, "item.name": "lamp", $set: 1 } });
  client.identify({ userId: "u1", traits: { plan: tag } });
  client.page({ userId: "u1", name: tag, properties: { url: "https://shop.example/" } });
  client.group({ userId: "u1", groupId: tag, traits: { seats: 3 } });
  client.alias({ userId: "u2", previousId: tag });
  client.screen({ userId: "u1", name: tag });
  for (let n = 0; n < MANY; n += 1) client.track({ anonymousId: `a${n}`, event: `${tag} many`, properties: { n } });
}

/** Asserts that all of [`callAll`] is there. */
async function allStored(tag) {
  await stored(`${tag} Order`, 1);
  await stored(`${tag} many`, MANY);
  assert.equal(await server.query("sum", { event_collection: `${tag} many`, target_property: "properties.n" }), MANY * (MANY - 1) / 2);
  assert.equal(await having(`${tag} Order`, "properties.item_name", "lamp"), 1);
  assert.equal(await having(`${tag} Order`, "user_id", "u1"), 1);
  assert.equal(await having("identifies", "traits.plan", tag), 1);
  assert.equal(await having("pages", "name", tag), 1);
  assert.equal(await having("groups", "group_id", tag), 1);
  assert.equal(await having("aliases", "previous_id", tag), 1);
  assert.equal(await having("screens", "name", tag), 1);
}

await check("@segment/analytics-node delivers every kind of call", async () => {
  const errors = [];
  const client = new Analytics({ writeKey, host: server.url, maxRetries: 0 });
  client.on("error", (error) => errors.push(error));
  callAll(client, "segment");
  await client.closeAndFlush();
  assert.deepEqual(errors, []);
  await allStored("segment");
});

await check("@segment/analytics-node learns that its key is wrong", async () => {
  const errors = [];
  const client = new Analytics({ writeKey: "wrong", host: server.url, maxRetries: 0 });
  client.on("error", (error) => errors.push(error));
  client.track({ userId: "u", event: "wrong" });
  await client.closeAndFlush();
  assert.equal(errors.length, 1);
});

for (const gzip of [false, true]) {
  await check(`@rudderstack/rudder-sdk-node delivers every kind of call, gzip ${gzip}`, async () => {
    const tag = `rudder ${gzip}`;
    const client = new Rudder(writeKey, { dataPlaneUrl: server.url, gzip, logLevel: "error" });
    callAll(client, tag);
    await client.flush();
    await allStored(tag);
  });
}

await check("a time far from our clock is corrected by sentAt", async () => {
  const sentAt = new Date(Date.now() + 3_600_000).toISOString();
  const body = JSON.stringify({ event: "skewed", userId: "u", messageId: "s", timestamp: sentAt, sentAt });
  const headers = { Authorization: `Basic ${Buffer.from(`${writeKey}:`).toString("base64")}` };
  const answer = await fetch(`${server.url}/v1/track`, { method: "POST", headers, body });
  assert.deepEqual([answer.status, await answer.json()], [200, { success: true }]);
  await stored("skewed", 1);
  assert.equal(await server.query("count", { event_collection: "skewed", timeframe: "this_10_minutes" }), 1);
});

await server.stop();
finish();
