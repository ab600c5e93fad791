// Keen's own client, keen-tracking 5 from npm, unmodified, pointed at our server: in Chromium and in Node.
//
// Nobody here wrote it, so it shows that the API is Keen's API. Every assertion asks the server what it stored; what
// the client itself believes is checked beside it.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { openBrowser, openPage } from "./lib/browser.mjs";
import { check, finish } from "./lib/check.mjs";
import { eventually, startServer } from "./lib/server.mjs";

const require = createRequire(import.meta.url);
/** An acknowledged event is visible within a second; the rest is for a busy machine. */
const VISIBLE_MS = 5_000;

const server = await startServer();
const { host, hostname, port } = new URL(server.url);
const { project_id: projectId, write_key: writeKey } = server.project;
const config = { projectId, writeKey, host, protocol: "http" };

/** Waits until a collection holds exactly `wanted` events. */
function stored(collection, wanted) {
  const ask = () => server.query("count", { event_collection: collection }).catch((error) => error.message);
  return eventually(`count of ${collection}`, VISIBLE_MS, ask, (count) => count === wanted);
}

/** Puts the client's file into the site, because a test must not ask a CDN. */
function makeSite() {
  const folder = join(server.web, "keen");
  mkdirSync(folder, { recursive: true });
  const dist = join(dirname(require.resolve("keen-tracking/package.json")), "dist");
  copyFileSync(join(dist, "keen-tracking.min.js"), join(folder, "keen-tracking.min.js"));
  const page = "<!doctype html><meta charset=utf-8><title>Keen</title><link rel=icon href=data:,>" +
    "<script src=keen-tracking.min.js></script>";
  writeFileSync(join(folder, "index.html"), page);
}

/**
 * Calls a method of the client in the page and gives what the server answered, which the client only tells its
 * callback.
 */
function call(page, method, ...words) {
  return page.evaluate(([config, method, words]) => new Promise((resolve, reject) => {
    const callback = (error, answer) => (error ? reject(new Error(JSON.stringify(error))) : resolve(answer));
    new globalThis.Keen(config)[method](...words, callback);
  }), [config, method, words]);
}

makeSite();
const { browser, context } = await openBrowser();
const { page, complaints } = await openPage(context, `${server.url}/keen/index.html`);

await check("keen-tracking in Chromium delivers recordEvent by fetch", async () => {
  const answer = await call(page, "recordEvent", "signups", { plan: "free", price: 12.5 });
  assert.deepEqual(answer, { created: true });
  await stored("signups", 1);
  assert.equal(await server.query("sum", { event_collection: "signups", target_property: "price" }), 12.5);
});

await check("keen-tracking in Chromium delivers recordEvents", async () => {
  const events = { purchases: [{ item: "cup" }, { item: "pot" }, { item: "tea" }], visits: [{ page: "/" }] };
  const answer = await call(page, "recordEvents", events);
  assert.deepEqual(answer, {
    purchases: [{ success: true }, { success: true }, { success: true }],
    visits: [{ success: true }],
  });
  await stored("purchases", 3);
  await stored("visits", 1);
});

for (const [name, requestType] of [["the beacon API", "beaconAPI"], ["an image", "img"]]) {
  await check(`keen-tracking in Chromium delivers recordEvent by ${name}`, async () => {
    await page.evaluate(([config, requestType]) => {
      new globalThis.Keen(config).recordEvent({ collection: requestType, event: { page: "/" }, requestType });
    }, [config, requestType]);
    await stored(requestType, 1);
  });
}

await check("a wrong key reaches keen-tracking as Keen's error", async () => {
  // The client tells its caller nothing of a refusal; it leaves a rejected promise behind.
  const code = await page.evaluate((config) => new Promise((resolve) => {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      resolve(event.reason.error_code);
    }, { once: true });
    new globalThis.Keen({ ...config, writeKey: "wrong" }).recordEvent("signups", { plan: "none" });
  }), config);
  assert.equal(code, "InvalidApiKeyError");
  await stored("signups", 1);
  // Chromium itself notes the 401 in the console.
  const noted = complaints.findIndex((line) => line.includes("401"));
  complaints.splice(noted, noted < 0 ? 0 : 1);
});

await check("the page has nothing to complain about", () => assert.deepEqual(complaints, []));
await browser.close();

await check("keen-tracking in Node delivers recordEvent and recordEvents", async () => {
  const loaded = require("keen-tracking");
  const Keen = loaded.default ?? loaded;
  const client = new Keen({ ...config, host: hostname, nodeRequestConfig: { port: Number(port) } });
  assert.deepEqual(await client.recordEvent("jobs", { queue: "mail" }), { created: true });
  const answer = await client.recordEvents({ jobs: [{ queue: "mail" }, { queue: "push" }] });
  assert.deepEqual(answer.jobs, [{ success: true }, { success: true }]);
  await stored("jobs", 3);
});

await server.stop();
finish();
