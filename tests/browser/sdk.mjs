/**
 * Checks the built SDK (`npm/sdk/dist`) in a real Chromium against a collector on another site that records every
 * request: what arrives, how, in which order, and that the page notices nothing.
 *
 * Separate from the walk through the real server because a recording collector can fail on purpose. Run it with
 * `node tests/browser/sdk.mjs [part of a name]` after `cargo xtask npm`. The exit code says if it passed.
 */
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBrowser } from "./lib/browser.mjs";
import { check, finish } from "./lib/check.mjs";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "../../npm/sdk/dist");
const STUB_BYTES_MAX = 1_000;
const WAIT_MS_MAX = 15_000;

/** Requests to the collector, oldest first, and how the next ones are answered. */
const requests = [];
const planned = [];

const collector = await serve(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const { method, url, headers } = request;
  const body = method === "POST" ? JSON.parse(text) : undefined;
  const how = headers["sec-fetch-mode"] === "no-cors" ? "beacon" : "fetch";
  requests.push({ method, url, headers, body, how, at: Date.now() });
  const { status = 200, retryAfter, answer } = planned.shift() ?? {};
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", "retry-after");
  if (retryAfter !== undefined) response.setHeader("retry-after", retryAfter);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(answer ?? JSON.stringify(status === 200 ? { accepted: body?.events.length ?? 0 } : { error_code: "x" }));
});
const host = `http://127.0.0.1:${collector.address().port}`;

const pages = await serve(async (request, response) => {
  const path = new URL(request.url, "http://x").pathname;
  const headers = { "content-type": path.endsWith(".js") ? "text/javascript" : "text/html" };
  if (path === "/no-wasm") headers["content-security-policy"] = "script-src 'self' 'unsafe-inline'";
  if (path === "/strict") {
    headers["content-security-policy"] =
      `default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; connect-src ${host}; require-trusted-types-for 'script'`;
  }
  try {
    const file = path.startsWith("/sdk/") ? await readFile(join(DIST, basename(path))) : await html(path);
    response.writeHead(200, headers).end(file);
  } catch {
    response.writeHead(404).end();
  }
});
const site = `http://localhost:${pages.address().port}`;

/** The test pages: `/stub` has the stub inline, `/none` nothing, all others the module. */
async function html(path) {
  const icon = '<!doctype html><title>t</title><link rel="icon" href="data:,">';
  const tag = `<script async src="/sdk/rivulet.js" data-project="p1" data-key="k1" data-host="${host}"></script>`;
  if (path === "/none") return icon;
  if (path === "/stub") {
    const stub = await readFile(join(DIST, "stub.js"), "utf8");
    return `${icon}<script>${stub}</script><script>
      const item = { name: "Teapot" };
      var kept = rivulet.track;
      rivulet.track("clicks", { n: 0, item });
      item.name = "changed later";
      rivulet.track("clicks", { n: 1 });
      rivulet.track("clicks", 1n);
      var flushed = rivulet.flush();
    </script>${tag}`;
  }
  if (path === "/tag") return icon + tag.replace(" async", "");
  return `${icon}<script type="module">
    import * as sdk from "/sdk/index.js";
    window.sdk = sdk;
    sdk.init({ project: "p1", key: "k1", host: "${host}/", debug: true });
    window.ready = true;
  </script>`;
}

const tests = {
  async "events tracked through the stub before the script is there arrive in order, once, as they were"(page) {
    await page.goto(`${site}/stub`);
    const events = await arrived(2);
    assert.deepEqual(events.map(({ properties }) => properties), [{ n: 0, item: { name: "Teapot" } }, { n: 1 }]);
    assert.deepEqual(await page.evaluate(() => flushed), { delivered: true, waiting: 0, dropped: 1 });
    await page.evaluate(() => (kept("clicks", { n: 2 }), rivulet.track("clicks", { n: 3 })));
    assert.deepEqual((await arrived(4)).map(({ properties }) => properties.n), [0, 1, 2, 3]);
    assert.deepEqual(requests[0].body.dropped, [{ reason: "not_json", count: 1 }]);
  },

  async "the tag alone makes the global and takes its attributes"(page) {
    await page.goto(`${site}/tag`);
    await page.evaluate(() => rivulet.track("pageviews", { page: "/" }));
    const [event] = await arrived(1);
    assert.deepEqual([event.collection, event.properties], ["pageviews", { page: "/" }]);
  },

  async "a burst arrives whole, in order, in few requests, each event with its own id, without a preflight"(page) {
    await opened(page);
    const before = Date.now();
    await page.evaluate(() => {
      for (let n = 0; n < 1_000; n += 1) sdk.track("bürst \"x\"", { n, text: "ü☂\ud83d" });
    });
    const events = await arrived(1_000);
    assert.deepEqual(events.map(({ properties }) => properties.n), Array.from({ length: 1_000 }, (_, n) => n));
    assert.equal(new Set(events.map(({ id }) => id)).size, 1_000);
    for (const { id, collection, timestamp } of events) {
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.equal(Number.parseInt(id.slice(0, 12), 16), timestamp);
      assert.equal(collection, 'bürst "x"');
      assert.ok(timestamp >= before - 1 && timestamp <= Date.now());
    }
    assert.ok(requests.length <= 5, `${requests.length} requests`);
    for (const { method, url, headers, body } of requests) {
      assert.equal(method, "POST");
      assert.equal(url, "/3.0/projects/p1/batches?api_key=k1");
      assert.match(headers["content-type"], /^text\/plain/);
      assert.equal(headers.cookie, undefined);
      assert.ok(Math.abs(body.sent_at - Date.now()) < 10_000);
    }
  },

  async "a page that is left sends by beacon"(page) {
    await opened(page);
    await page.evaluate(() => sdk.track("clicks", { n: 0 }));
    await page.goto(`${site}/none`);
    const [event] = await arrived(1);
    assert.equal(event.properties.n, 0);
    assert.equal(requests[0].how, "beacon");
    assert.match(requests[0].headers["content-type"], /^text\/plain/);
  },

  async "an event tracked by the page's own pagehide listener arrives too"(page) {
    await opened(page);
    await page.evaluate(() => addEventListener("pagehide", () => sdk.track("leaves", { n: 0 })));
    await page.goto(`${site}/none`);
    assert.equal((await arrived(1))[0].collection, "leaves");
  },

  async "what a beacon took goes again under the same ids when the page is seen again"(page) {
    await opened(page);
    await page.evaluate(() => {
      sdk.track("clicks", { n: 0 });
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
      delete document.hidden;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    const [first, second] = await arrived(2);
    assert.deepEqual(second, first);
    assert.deepEqual(requests.map(({ how }) => how), ["beacon", "fetch"]);
    assert.deepEqual(await page.evaluate(() => sdk.flush()), { delivered: true, waiting: 0, dropped: 0 });
  },

  async "after a 503 the same events go again, when Retry-After allows"(page) {
    planned.push({ status: 503, retryAfter: 2 });
    await opened(page);
    await page.evaluate(() => (sdk.track("clicks", { n: 0 }), sdk.track("clicks", { n: 1 })));
    const flushed = await page.evaluate(() => sdk.flush());
    assert.deepEqual(flushed, { delivered: false, waiting: 2, dropped: 0 });
    const events = await arrived(4);
    assert.deepEqual(events.slice(2), events.slice(0, 2));
    assert.equal(requests.length, 2);
    assert.ok(requests[1].at - requests[0].at >= 2_000);
    assert.deepEqual(await page.evaluate(() => sdk.flush()), { delivered: true, waiting: 0, dropped: 0 });
  },

  async "an answer that is not the collector's is no delivery"(page) {
    planned.push({ answer: "<title>Welcome to our hotel</title>" }, { answer: "{}" });
    await opened(page);
    await page.evaluate(() => sdk.track("clicks", { n: 0 }));
    const events = await arrived(3);
    assert.equal(new Set(events.map(({ id }) => id)).size, 1);
  },

  async "events that the collector refuses are counted and not sent again"(page) {
    planned.push({ answer: JSON.stringify({ accepted: 1, refused: [{ index: 1, code: "x", message: "y" }] }) });
    await opened(page);
    await page.evaluate(() => (sdk.track("clicks", { n: 0 }), sdk.track("clicks", { n: 1 })));
    assert.deepEqual(await page.evaluate(() => sdk.flush()), { delivered: true, waiting: 0, dropped: 1 });
    assert.equal(requests.length, 1);
  },

  async "hostile properties are dropped and counted, never thrown"(page) {
    await opened(page);
    const result = await page.evaluate(async () => {
      const cycle = {};
      cycle.self = cycle;
      const fail = () => {
        throw new Error("hostile");
      };
      const hostile = [
        cycle, { n: 1n }, () => 1, Symbol("s"), "text", 7, [1], new Date(), { toJSON: fail }, { toJSON: () => 1 },
        { get x() { return fail(); } }, new Proxy({}, { get: fail, ownKeys: fail }), { big: "x".repeat(70_000) },
        { wide: "☂".repeat(30_000) }, { huge: "x".repeat(50_000_000) },
      ];
      for (const properties of hostile) sdk.track("hostile", properties);
      for (const collection of [undefined, null, 7, {}, Symbol("s"), new Proxy({}, { get: fail })]) sdk.track(collection, {});
      const count = hostile.length + 6;
      let deep = {};
      for (let level = 0; level < 20_000; level += 1) deep = { deep };
      sdk.track("hostile", deep);
      sdk.track("good", { u: undefined, f: fail, n: Number.NaN, toJSON: () => ({ from: "toJSON" }) });
      sdk.track("good", { toJSON: () => (sdk.track("good", { from: "within" }), { from: "around" }) });
      sdk.track("good");
      return { count: count + 1, ...(await sdk.flush()) };
    });
    assert.equal(result.dropped, result.count);
    const events = await arrived(4);
    assert.deepEqual(events.map(({ properties }) => properties.from), ["toJSON", "within", "around", undefined]);
  },

  async "more than the queue holds is dropped and reported with the next batch"(page) {
    planned.push({ status: 503, retryAfter: 1 });
    await opened(page);
    await page.evaluate(() => {
      for (let n = 0; n < 1_003; n += 1) sdk.track("clicks", { n });
    });
    await until(() => requests.flatMap(({ body }) => body.events).length >= 1_050);
    const reported = requests.find(({ body }) => body.dropped);
    assert.deepEqual(reported.body.dropped, [{ reason: "queue_full", count: 3 }]);
    assert.equal(requests.filter(({ body }) => body.dropped).length, 1);
  },

  async "a page that patches fetch and beacon to throw sees no exception, and nothing is lost"(page) {
    await opened(page);
    const waiting = await page.evaluate(async () => {
      const real = window.fetch;
      window.fetch = () => {
        throw new Error("patched");
      };
      navigator.sendBeacon = window.fetch;
      sdk.track("clicks", { n: 0 });
      document.dispatchEvent(new Event("visibilitychange"));
      const { waiting } = await sdk.flush();
      window.fetch = real;
      window.dispatchEvent(new Event("online"));
      return waiting;
    });
    assert.equal(waiting, 1);
    assert.equal((await arrived(1))[0].properties.n, 0);
  },

  async "a failure inside the module stops collecting and is not seen by the page"(page) {
    await opened(page);
    const result = await page.evaluate(async () => {
      performance.now = () => {
        throw new Error("hostile clock");
      };
      dispatchEvent(new Event("online"));
      sdk.track("clicks", { n: 0 });
      document.dispatchEvent(new Event("visibilitychange"));
      return sdk.flush();
    });
    assert.equal(result.delivered, false);
    assert.equal(result.waiting, 1);
  },

  async "a page that forbids wasm goes on; its events are held within limits"(page) {
    await page.goto(`${site}/no-wasm`);
    await page.waitForFunction("window.ready");
    const result = await page.evaluate(() => {
      for (let n = 0; n < 1_002; n += 1) sdk.track("clicks", { n });
      return sdk.flush();
    });
    assert.deepEqual(result, { delivered: false, waiting: 1_000, dropped: 2 });
    assert.equal(requests.length, 0);
  },

  async "a strict policy with Trusted Types that allows wasm is enough"(page) {
    await page.goto(`${site}/strict`);
    await page.waitForFunction("window.ready");
    await page.evaluate(() => sdk.track("clicks", { n: 0 }));
    await arrived(1);
  },

  async "the manual entry takes the module from where it is told"(page) {
    await page.goto(`${site}/none`);
    const results = await page.evaluate(async (host) => {
      const sdk = await import("/sdk/manual.js");
      sdk.init({ project: "p1", key: "k1", host, wasm: fetch("/sdk/sdk_wasm_bg.wasm") });
      sdk.track("clicks", { n: 0 });
      return sdk.flush();
    }, host);
    assert.equal(results.delivered, true);
    await arrived(1);
  },

  async "on a server the package does nothing, and the stub is small"() {
    const sdk = await import(join(DIST, "inert.js"));
    assert.equal(sdk.init({}), undefined);
    assert.equal(sdk.track("clicks", {}), undefined);
    assert.deepEqual(await sdk.flush(), { delivered: true, waiting: 0, dropped: 0 });
    const { size } = await stat(join(DIST, "stub.js"));
    assert.ok(size <= STUB_BYTES_MAX, `stub.js has ${size} bytes`);
  },
};

/** Opens the module's page and waits until the SDK has started. */
async function opened(page) {
  await page.goto(`${site}/module`);
  await page.waitForFunction("window.ready");
  await page.evaluate(() => sdk.flush());
}

/** All events received so far, once there are `count`, in order of arrival. */
async function arrived(count) {
  await until(() => requests.flatMap(({ body }) => body?.events ?? []).length >= count);
  const events = requests.flatMap(({ body }) => body?.events ?? []);
  assert.equal(events.length, count, "no event too many");
  return events;
}

async function until(condition) {
  const end = Date.now() + WAIT_MS_MAX;
  while (!condition()) {
    assert.ok(Date.now() < end, `not within ${WAIT_MS_MAX} ms; ${requests.length} requests so far`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function serve(handle) {
  const server = createServer(handle);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** What the page itself would see. The browser's own lines about refused requests and policies are no fault of ours. */
function watch(page) {
  const seen = [];
  page.on("pageerror", (error) => seen.push(`exception: ${error.stack ?? error}`));
  page.on("console", (message) => {
    const browsers = /^Failed to load resource|Content Security Policy/.test(message.text());
    if (message.type() === "error" && !browsers) seen.push(`console: ${message.text()}`);
  });
  return seen;
}

const { browser } = await openBrowser();
for (const [name, test] of Object.entries(tests)) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  requests.length = planned.length = 0;
  const context = await browser.newContext();
  const page = await context.newPage();
  const seen = watch(page);
  await check(name, async () => {
    await test(page);
    assert.deepEqual(seen, [], "the page saw something");
    assert.ok(requests.every(({ method }) => method !== "OPTIONS"), "a preflight was asked");
  });
  await context.close();
}
await browser.close();
finish();
