// The whole walk in a real browser: a click in the shop becomes a point on the dashboard, without a reload, in seconds.
//
// Two pages of one browser are open at once, as two people would have them. What the shop sends is checked by asking
// the server; what the dashboard shows is checked on its canvases, by their pixels and by what they say to a screen
// reader.
import assert from "node:assert/strict";
import { join } from "node:path";
import { artifacts, openBrowser, openPage } from "./lib/browser.mjs";
import { check, finish } from "./lib/check.mjs";
import { eventually, startServer } from "./lib/server.mjs";

/** From the click to the changed picture. */
const SEEN_MS = 5_000;
/** From the click to the answer of a query: the SDK's batching, and a second for the server. */
const STORED_MS = 5_000;

const server = await startServer();
const { browser, context } = await openBrowser();

/** How many events a collection holds that have this property. */
function count(collection, property, value) {
  const filters = property ? [{ property_name: property, operator: "eq", property_value: value }] : [];
  return server.query("count", { event_collection: collection, filters }).catch((error) => error.message);
}

/** What every chart of the dashboard shows now. */
function look(page) {
  return page.evaluate(() => [...document.querySelectorAll("rivulet-chart")].map((element) => {
    const canvas = element.shadowRoot?.querySelector("canvas");
    const [width, height] = [canvas?.width || 1, canvas?.height || 1];
    // A copy, because reading the chart's own canvas would make it slow, and Chromium says so.
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (canvas?.width) copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    let hash = 0;
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) {
      const pixel = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
      hash = Math.imul(hash ^ pixel, 0x01000193);
      colours.add(pixel);
    }
    return {
      name: `${element.getAttribute("analysis")} of ${element.getAttribute("event-collection")}`,
      chart: element.getAttribute("chart"),
      says: canvas?.getAttribute("aria-label") ?? "",
      hash,
      colours: colours.size,
      isSharp: canvas ? Math.abs(canvas.width - canvas.clientWidth * devicePixelRatio) <= 1 : false,
      complains: element.shadowRoot?.querySelector("[role=alert]:not([hidden])")?.textContent ?? "",
    };
  }));
}

const { page: shop, complaints: ofShop } = await openPage(context, `${server.url}/shop/`);

await check("opening the shop is an event", () =>
  eventually("pageviews", STORED_MS, () => count("pageviews", "page", "/"), (events) => events === 1));

await check("a click on buy is a click and a purchase with its properties", async () => {
  await shop.click("#buy-cup-blue");
  await eventually("clicks", STORED_MS, () => count("clicks", "target", "add-to-cart"), (events) => events === 1);
  await eventually("purchases", STORED_MS, () => count("purchases", "item.name", "Cup, blue"), (events) => events === 1);
  assert.equal(await server.query("sum", { event_collection: "purchases", target_property: "item.price" }), 12.9);
});

const { page: dashboard, complaints: ofDashboard } = await openPage(context, `${server.url}/dashboard/`);
await dashboard.evaluate(() => { globalThis.wasNeverReloaded = true; });

const before = await check("the dashboard draws every chart, sharp, and says in words what it shows", async () => {
  const isDrawn = (chart) => chart.colours > 2 && chart.says !== "" && chart.isSharp && chart.complains === "";
  return eventually("charts", SEEN_MS * 2, () => look(dashboard), (all) => all.length > 0 && all.every(isDrawn));
}) ?? [];
await dashboard.screenshot({ path: join(artifacts, "dashboard-before.png"), fullPage: true });

await check("a click in the shop changes the dashboard within five seconds, without a reload", async () => {
  const clicked = performance.now();
  for (const target of ["#buy-strainer", "#buy-cup-blue", "#buy-strainer"]) await shop.click(target);
  const isAboutPurchases = (chart) => chart.name.endsWith("of purchases");
  assert.ok(before.some(isAboutPurchases), `no chart of purchases among ${before.map((chart) => chart.name)}`);
  const isChanged = (chart, at) => chart.hash !== before[at].hash;
  const left = SEEN_MS - (performance.now() - clicked);
  const after = await eventually("charts of purchases", left, () => look(dashboard), (all) =>
    all.every((chart, at) => !isAboutPurchases(chart) || isChanged(chart, at)));
  console.log(`    seen ${Math.round(performance.now() - clicked)} ms after the first click`);
  const says = after.map((chart) => chart.says);
  assert.notDeepEqual(says, before.map((chart) => chart.says), "the words for a screen reader changed, too");
  assert.equal(await dashboard.evaluate(() => globalThis.wasNeverReloaded), true);
  await eventually("purchases", STORED_MS, () => count("purchases"), (events) => events === 4);
});
await dashboard.screenshot({ path: join(artifacts, "dashboard-after.png"), fullPage: true });
await shop.evaluate(() => scrollTo(0, 0));
await shop.screenshot({ path: join(artifacts, "shop.png"), fullPage: true });

await check("the dashboard stays whole in a narrow window", async () => {
  await dashboard.setViewportSize({ width: 420, height: 800 });
  const fits = () => dashboard.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  await eventually("a page that fits", SEEN_MS, fits, Boolean);
  await eventually("sharp charts", SEEN_MS, () => look(dashboard), (all) => all.every((chart) => chart.isSharp));
  await dashboard.screenshot({ path: join(artifacts, "dashboard-narrow.png"), fullPage: true });
});

await check("a click just before the page goes away is not lost", async () => {
  await shop.click("#look-sencha");
  await shop.goto("about:blank");
  await eventually("clicks", STORED_MS, () => count("clicks", "target", "photo"), (events) => events === 1);
});

await check("nothing was counted twice", async () => {
  const [clicks, purchases] = [await count("clicks"), await count("purchases")];
  assert.deepEqual({ clicks, purchases }, { clicks: 5, purchases: 4 });
});

await check("neither page has anything to complain about", () => assert.deepEqual([...ofShop, ...ofDashboard], []));

await browser.close();
await server.stop();
finish();
