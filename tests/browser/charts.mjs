/**
 * Checks the built charts (`npm/charts/dist`) in a real Chromium on a page with the strictest policy that wasm allows,
 * against a query endpoint that answers, refuses and vanishes on demand.
 *
 * Separate from the walk through the real server because that one can't fail on purpose. Run it with
 * `node tests/browser/charts.mjs` after `cargo xtask npm`. The exit code says if it passed; screenshots to look at are
 * in `tests/browser/artifacts`.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { artifacts, openBrowser, openPage } from "./lib/browser.mjs";
import { check, finish } from "./lib/check.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const DIST = join(ROOT, "npm/charts/dist");
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const POLICY = "default-src 'none'; connect-src 'self'; style-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const WITH_WASM = `${POLICY}; script-src 'self' 'wasm-unsafe-eval'`;
const WITHOUT_WASM = `${POLICY}; script-src 'self'`;
/** 0x0072b2, the first series. */
const BLUE = [0, 114, 178];

/** How the endpoint answers, and what it was asked. */
let answer = () => [200, { result: 7 }];
const asked = [];

/** Pages by path: policy, body. */
const pages = new Map();

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://x");
  if (pathname.startsWith("/3.0/")) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    asked.push({ path: pathname, method: request.method, headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString()) });
    const [status, body] = answer(asked.at(-1));
    if (!status) return response.destroy();
    response.writeHead(status, { "content-type": "application/json" });
    return response.end(typeof body === "string" ? body : JSON.stringify(body));
  }
  if (pathname === "/demo.js") {
    return response.end(`window.RIVULET_DEMO = ${JSON.stringify({ server: host, project: "p1", readKey: "rvrDEMO" })}`);
  }
  if (pathname.startsWith("/dashboard/")) {
    const name = basename(pathname) === "dashboard" ? "index.html" : basename(pathname);
    const file = readFileSync(join(ROOT, "examples/customer-dashboard", name));
    const policy = `${WITH_WASM.replace("style-src 'none'", "style-src 'self'")}; img-src 'self'`;
    response.writeHead(200, { "content-type": TYPES[extname(name)], "content-security-policy": policy });
    return response.end(file);
  }
  const page = pages.get(pathname);
  if (page) {
    response.writeHead(200, { "content-type": "text/html", "content-security-policy": page.policy });
    return response.end(`<!doctype html><meta charset="utf-8"><title>charts</title><body>${page.body}`);
  }
  try {
    const file = readFileSync(join(DIST, basename(pathname)));
    response.writeHead(200, { "content-type": TYPES[extname(pathname)] ?? "application/octet-stream" });
    response.end(file);
  } catch {
    response.writeHead(pathname === "/favicon.ico" ? 204 : 404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const host = `http://127.0.0.1:${server.address().port}`;

const { browser } = await openBrowser();
const SCRIPT = '<script src="/charts.global.js"></script>';

/** Opens a page of its own; `complaints` must be empty at the end unless `mayComplain`. */
async function open(path, { body = "", policy = WITH_WASM, ratio = 1, width = 800, mayComplain = false } = {}, use) {
  pages.set(path, { policy, body: SCRIPT + body });
  const context = await browser.newContext({ viewport: { width, height: 700 }, deviceScaleFactor: ratio });
  try {
    const { page, complaints } = await openPage(context, host + path);
    await use(page, complaints);
    if (!mayComplain) assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** What a canvas shows: its sizes, and how many pixels have a colour. Looks into the element's shadow, too. */
function look(page, selector = "rivulet-chart", colour = BLUE) {
  return page.evaluate(
    ([selector, [r, g, b]]) => {
      const host = document.querySelector(selector);
      const canvas = (host.shadowRoot ?? host).querySelector("canvas");
      if (!canvas?.width) return undefined;
      // A copy, as Chromium complains about canvases that are read more than once.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) count += data[at] === r && data[at + 1] === g && data[at + 2] === b;
      return { wide: canvas.width, tall: canvas.height, css: canvas.clientWidth, count, label: canvas.ariaLabel ?? canvas.getAttribute("aria-label") };
    },
    [selector, colour],
  );
}

/** Looks until it sees what it is after. */
async function until(what, sees, waitMs = 10_000) {
  const end = Date.now() + waitMs;
  let seen;
  while (Date.now() < end) {
    seen = await what();
    if (seen !== undefined && sees(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  throw new Error(`never came; last seen ${JSON.stringify(seen)}`);
}

const words = (page) =>
  page.evaluate(() => {
    const shown = [...document.querySelector("rivulet-chart").shadowRoot.querySelectorAll("p")].filter((p) => !p.hidden);
    return shown.map((p) => `${p.getAttribute("role")}: ${p.textContent}`).join("; ");
  });

const start = Date.UTC(2026, 10, 23, 10);
const minutes = (values) =>
  values.map((value, at) => ({
    value,
    timeframe: { start: new Date(start + at * 6e4).toISOString(), end: new Date(start + at * 6e4 + 6e4).toISOString() },
  }));
const element = (more = "") =>
  `<rivulet-chart server="${host}" project="p1" key="rvrKEY" analysis="count" event-collection="clicks"
    timeframe="this_60_minutes" interval="minutely" title="Clicks" theme="light" ${more}></rivulet-chart>`;
const shot = (page, name) => page.screenshot({ path: join(artifacts, `charts-${name}.png`), fullPage: true });

await check("the element asks with the read key and draws the answer", async () => {
  answer = () => [200, { result: minutes([3, 7, 2, 9, 4]) }];
  asked.length = 0;
  const more = `timezone="Europe/Warsaw" group-by="country" filters='[{"property_name":"a","operator":"eq","property_value":1}]'`;
  await open("/element", { body: element(more) }, async (page) => {
    const seen = await until(() => look(page), ({ count }) => count > 300);
    assert.equal(seen.label, "Clicks: line chart, 5 points, from 2 to 9");
    assert.equal(await words(page), "");
    const [{ path, method, headers, body }] = asked;
    assert.equal(`${method} ${path}`, "POST /3.0/projects/p1/queries/count");
    assert.equal(headers.authorization, "rvrKEY");
    assert.deepEqual(body, {
      event_collection: "clicks",
      timeframe: "this_60_minutes",
      interval: "minutely",
      timezone: "Europe/Warsaw",
      group_by: "country",
      filters: [{ property_name: "a", operator: "eq", property_value: 1 }],
    });
    await shot(page, "element");
  });
});

for (const ratio of [1, 1.5, 2]) {
  await check(`a canvas at a pixel ratio of ${ratio} has that many device pixels and follows the window`, async () => {
    await open(`/ratio-${ratio}`, { body: element(), ratio }, async (page) => {
      const seen = await until(() => look(page), ({ count }) => count > 300);
      assert.deepEqual([seen.wide, seen.tall], [Math.round(seen.css * ratio), 240 * ratio]);
      await shot(page, `ratio-${ratio}`);
      await page.setViewportSize({ width: 420, height: 700 });
      const narrow = await until(() => look(page), ({ wide, css }) => css < 420 && wide === Math.round(css * ratio));
      assert.ok(narrow.count > 150 && narrow.css < seen.css, JSON.stringify(narrow));
    });
  });
}

await check("a refresh changes the chart without ever showing it empty, and changed attributes ask again", async () => {
  let clicks = 1;
  answer = () => [200, { result: [{ page: "/", result: clicks }, { page: "/b", result: 10 }] }];
  await open("/refresh", { body: element('refresh="0.25"') }, async (page) => {
    const before = await until(() => look(page), ({ count }) => count > 300);
    await page.evaluate(() => {
      window.blank = 0;
      const canvas = document.querySelector("rivulet-chart").shadowRoot.querySelector("canvas");
      const copy = new OffscreenCanvas(1, canvas.height).getContext("2d", { willReadFrequently: true });
      const look = () => {
        copy.clearRect(0, 0, 1, canvas.height);
        copy.drawImage(canvas, -(canvas.width >> 1), 0);
        const { data } = copy.getImageData(0, 0, 1, canvas.height);
        if (!data.some((part) => part)) window.blank += 1;
        requestAnimationFrame(look);
      };
      look();
    });
    clicks = 10;
    const after = await until(() => look(page), ({ count }) => count > before.count * 1.5);
    assert.equal(after.label, "Clicks: bar chart, 2 points, from 10 to 10");
    assert.equal(await page.evaluate(() => window.blank), 0);
    asked.length = 0;
    await page.evaluate(() => document.querySelector("rivulet-chart").setAttribute("event-collection", "pageviews"));
    await until(async () => asked.some(({ body }) => body.event_collection === "pageviews"), Boolean);
    await page.evaluate(() => document.querySelector("rivulet-chart").remove());
    await new Promise((resolve) => setTimeout(resolve, 150));
    asked.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 800));
    assert.equal(asked.length, 0, "a removed element asks nothing");
  });
});

await check("a hidden page asks nothing and catches up when it is shown", async () => {
  let clicks = 1;
  answer = () => [200, { result: clicks }];
  await open("/hidden", { body: element('refresh="0.25"') }, async (page) => {
    await until(() => look(page), ({ label }) => label === "Clicks: 1");
    const hide = (hidden) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await hide(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    asked.length = 0;
    clicks = 2;
    await new Promise((resolve) => setTimeout(resolve, 900));
    assert.equal(asked.length, 0);
    await hide(false);
    await until(() => look(page), ({ label }) => label === "Clicks: 2");
    await until(async () => asked.length, (count) => count > 2);
  });
});

await check("loading, no data, a refusal and a lost server are said in words", async () => {
  answer = () => [401, { error_code: "KeyUnknown", message: "<b>this key</b> is unknown" }];
  await open("/refused", { body: element('refresh="0.25"'), mayComplain: true }, async (page) => {
    assert.match(await until(() => words(page), (said) => said.startsWith("alert")), /^alert: <b>this key<\/b> is unknown$/);
    await shot(page, "refused");
    asked.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 800));
    assert.equal(asked.length, 0, "a refused key is not tried again");
    answer = () => [200, { result: [] }];
    await page.evaluate(() => document.querySelector("rivulet-chart").setAttribute("key", "rvrOTHER"));
    await until(() => look(page), ({ label }) => label === "Clicks: no data");
    assert.equal(await words(page), "");
    await shot(page, "empty");
    answer = () => [0];
    assert.equal(await until(() => words(page), Boolean), "alert: The server can't be reached.");
    answer = () => [503, "not JSON"];
    await until(() => words(page), (said) => said === "alert: The server answered with 503.");
    answer = () => [200, { result: 5 }];
    await until(() => look(page), ({ label }) => label === "Clicks: 5");
    assert.equal(await words(page), "");
    answer = () => [200, { result: ["a"] }];
    assert.match(await until(() => words(page), Boolean), /can't be drawn/);
  });
});

await check("hostile strings are only ever text", async () => {
  const bad = ["<img src=x onerror=alert(1)>", "</canvas><script>alert(1)</script>", "javascript:alert(1)", "\u202egnp.exe", "a\u001fb\u0000", "x".repeat(10_000), "👩‍👩‍👧 = é"];
  answer = () => [200, { result: bad.map((name, at) => ({ [bad[0]]: name, result: at + 1 })) }];
  await open("/hostile", { body: element() }, async (page) => {
    let dialogs = 0;
    page.on("dialog", (dialog) => ((dialogs += 1), dialog.dismiss()));
    await page.evaluate((bad) => (document.querySelector("rivulet-chart").title = bad.join(" ")), bad);
    await until(() => look(page), ({ count }) => count > 300);
    const tags = await page.evaluate(() => [...document.querySelector("rivulet-chart").shadowRoot.querySelectorAll("*")].map((one) => one.tagName));
    assert.deepEqual(tags.sort(), ["CANVAS", "DIV", "P", "P"]);
    assert.equal(dialogs, 0);
    await shot(page, "hostile");
  });
});

await check("the functions draw into any element, update and leave nothing behind", async () => {
  await open("/functions", { body: '<div id="a"></div><div id="b"></div><div id="c"></div><div id="d"></div>' }, async (page) => {
    await page.evaluate((line) => {
      const { lineChart, barChart, metric, draw } = window.rivuletCharts;
      const at = (id) => document.querySelector(id);
      const options = { theme: "light", title: "Title" };
      window.charts = [
        lineChart(at("#a"), { result: line }, options),
        barChart(at("#b"), { result: line }, options),
        metric(at("#c"), 12, options),
        draw(at("#d"), [{ c: "x", result: 3 }, { c: "y", result: 5 }], { ...options, theme: "dark" }),
      ];
    }, minutes([1, 5, 2, 8]));
    for (const id of ["#a", "#b"]) await until(() => look(page, id), ({ count }) => count > 300);
    const number = await until(() => look(page, "#c"), Boolean);
    assert.deepEqual([number.tall, number.label], [240, "Title: 12"]);
    await until(() => look(page, "#d", [0x56, 0xb4, 0xe9]), ({ count }) => count > 300);
    await shot(page, "functions");
    await page.evaluate(() => window.charts[2].update({ result: 13 }, { title: "Other" }));
    await until(() => look(page, "#c"), ({ label }) => label === "Other: 13");
    await page.evaluate(() => window.charts.forEach((chart) => chart.destroy()));
    assert.equal(await page.evaluate(() => document.querySelectorAll("canvas, div > *").length), 0);
  });
});

await check("the module for bundlers offers the same and registers nothing by itself", async () => {
  pages.set("/module-page", { policy: WITH_WASM, body: '<div id="a"></div>' });
  const context = await browser.newContext();
  const { page, complaints } = await openPage(context, `${host}/module-page`);
  const names = await page.evaluate(async () => {
    const module = await import("/index.js");
    const before = customElements.get("rivulet-chart");
    module.draw(document.querySelector("#a"), 5, { theme: "light" });
    return [before === undefined, ...Object.keys(module).sort()];
  });
  assert.deepEqual(names, [true, "barChart", "defineElement", "draw", "lineChart", "metric"]);
  await until(() => look(page, "#a"), ({ label }) => label === "5");
  assert.deepEqual(complaints, []);
  await context.close();
});

await check("a page that forbids wasm reads why there is no chart", async () => {
  answer = () => [200, { result: 5 }];
  await open("/no-wasm", { body: element(), policy: WITHOUT_WASM, mayComplain: true }, async (page) => {
    const said = await until(() => words(page), (said) => said.includes("WebAssembly"));
    assert.match(said, /security policy/);
    await shot(page, "no-wasm");
  });
});

await check("a month in Warsaw has its ticks at Warsaw's midnights", async () => {
  const days = Array.from({ length: 31 }, (_, at) => Date.parse("2026-10-09T22:00:00Z") + at * 864e5 + (at > 15 ? 36e5 : 0));
  const result = days.map((day, at) => ({
    value: (at * 7) % 11,
    timeframe: { start: new Date(day).toISOString(), end: new Date(day + 864e5).toISOString() },
  }));
  await open("/zone", { body: '<div id="a"></div><div id="b"></div>' }, async (page) => {
    // What is written on the canvas, as the list can't be seen from outside.
    const texts = await page.evaluate(async (result) => {
      const [seen, canvases] = [[], []];
      const { fillText } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        if (!canvases.includes(this.canvas)) canvases.push(this.canvas);
        seen.push(`${canvases.indexOf(this.canvas)}: ${text}`);
        return fillText.call(this, text, ...rest);
      };
      window.rivuletCharts.lineChart(document.querySelector("#a"), result, { timezone: "Europe/Warsaw", theme: "light" });
      window.rivuletCharts.barChart(document.querySelector("#b"), result, { timezone: "Europe/Warsaw", theme: "light" });
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return seen;
    }, result);
    for (const day of ["Oct 11", "Oct 18", "Oct 25", "Nov 1", "Nov 8"]) {
      // A chart may be drawn again when the other one changes the page's width.
      for (const chart of [0, 1]) assert.ok(texts.includes(`${chart}: ${day}`), `${chart}: ${day} in ${texts}`);
    }
    await shot(page, "zone");
  });
});

/** Answers the dashboard's queries with something of their shape. */
function dashboardAnswer({ body, path }, clicks) {
  const names = { device: ["desktop", "phone", "tablet"], country: ["DE", "FR", "GB", "PL", "US"] };
  const items = ["Tea, Sencha", "Cup, white", "Teapot, cast iron", "Tea, Darjeeling", "Strainer", "Teapot, glass"];
  const wave = (at, by) => Math.round(90 + by * 40 + 50 * Math.sin(at / 3 + by) + ((at * 7919) % 23));
  if (body.interval === "minutely") return minutes(Array.from({ length: 60 }, (_, at) => (at === 59 ? clicks : wave(at, 0) % 9)));
  if (!body.interval && !body.group_by) return path.endsWith("sum") ? 48_213.4 : 61_234 + clicks;
  if (!body.interval) {
    const key = body.group_by;
    const groups = key === "page" ? ["/", "/teas", "/cups", "/teapots", "/about"] : items;
    return groups.map((name, at) => ({ [key]: name, result: 900 - at * 120 + clicks }));
  }
  return Array.from({ length: 30 }, (_, at) => ({
    value: names[body.group_by].map((name, by) => ({ [body.group_by]: name, result: wave(at, by) + clicks })),
    timeframe: { start: new Date(start + (at - 30) * 864e5).toISOString(), end: new Date(start + (at - 29) * 864e5).toISOString() },
  }));
}

for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 420]]) {
  await check(`the example dashboard draws, moves and fits: ${colorScheme}, ${width} px`, async () => {
    let clicks = 1;
    answer = (query) => [200, { result: dashboardAnswer(query, clicks) }];
    const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, deviceScaleFactor: 2 });
    const { page, complaints } = await openPage(context, `${host}/dashboard/`);
    const labels = () =>
      page.evaluate(() => [...document.querySelectorAll("rivulet-chart")].map(({ shadowRoot }) => shadowRoot?.querySelector("canvas")?.getAttribute("aria-label") ?? ""));
    await until(labels, (all) => all.length === 8 && all.every(Boolean));
    assert.equal(asked.at(-1).headers.authorization, "rvrDEMO");
    const blue = colorScheme === "dark" ? [0x56, 0xb4, 0xe9] : BLUE;
    const before = await until(() => look(page, "#live-clicks", blue), ({ count }) => count > 300);
    await shot(page, `dashboard-${colorScheme}-${width}`);
    clicks = 40;
    await until(() => look(page, "#live-clicks", blue), ({ label }) => label !== before.label, 4_000);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

await check("answers are read as the server reads them", async () => {
  const esbuild = createRequire(join(ROOT, "package.json"))("esbuild");
  const source = readFileSync(join(ROOT, "npm/charts/src/answer.ts"), "utf8");
  const { code } = await esbuild.transform(source, { loader: "ts", format: "esm" });
  const { readAnswer } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  const folder = join(ROOT, "charts/tests/answers");
  const files = readdirSync(folder);
  assert.ok(files.length >= 20);
  for (const file of files) {
    const { answer, columns } = JSON.parse(readFileSync(join(folder, file), "utf8"));
    let read = null;
    try {
      read = JSON.parse(JSON.stringify(readAnswer(answer)));
    } catch (error) {
      assert.ok(error instanceof TypeError && columns === null, `${file}: ${error.stack}`);
    }
    assert.deepEqual(read, columns, file);
  }
});

await browser.close();
server.close();
finish();
