// The table of JSON inputs (`tests/json/corpus.yaml`) as a page would track them: what JavaScript can hold of it is encoded by
// the SDK, and arrives as it was or is refused with the code that the table names.
//
// The SDK's own encoder runs here, not a browser: every engine parses and prints JSON by the same standard. That a stored
// event is the text that was sent is shown by `tests/tests/json.rs`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { check, finish } from "./lib/check.mjs";
import { eventually, startServer } from "./lib/server.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const SDK = join(ROOT, "npm/sdk");
const yaml = createRequire(import.meta.url)("yaml");
const esbuild = createRequire(join(SDK, "build.mjs"))("esbuild");
/** A busy machine may take its time until an acknowledged event is visible. */
const VISIBLE_MS = 10_000;

const source = esbuild.transformSync(readFileSync(join(SDK, "src/encode.ts"), "utf8"), { loader: "ts", format: "esm" }).code;
const { encode } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

/** The bytes of an entry. */
function bytes(part) {
  if (Array.isArray(part)) return Buffer.concat(part.map(bytes));
  if (typeof part === "string") return Buffer.from(part);
  return part.bytes ? Buffer.from(part.bytes) : Buffer.from(part.repeat.repeat(part.times));
}

/** The value that an entry stands for, as the property of an event; none when JavaScript has none. */
function value(json) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes(json));
    return JSON.parse(`{"v":${text}}`);
  } catch {
    return undefined;
  }
}

const corpus = yaml.parse(readFileSync(join(ROOT, "tests/json/corpus.yaml"), "utf8"));
const server = await startServer({ site: false });
const { project_id: project, write_key: key } = server.project;
let ids = 0;

/** The value as JSON can hold it: without the sign of zero, and null for what is no finite number. */
function printable(found) {
  if (typeof found === "number") return Number.isFinite(found) ? found + 0 : null;
  if (Array.isArray(found)) return found.map(printable);
  if (found === null || typeof found !== "object") return found;
  return Object.fromEntries(Object.entries(found).map(([name, inner]) => [name, printable(inner)]));
}

/** Tracks a value, and gives the code of its refusal or `stored`. */
async function track(tracked) {
  const captured = encode("sdk", tracked);
  assert.ok(Array.isArray(captured), `the SDK dropped it: ${captured}`);
  const [collection, properties, at] = captured;
  assert.deepEqual(JSON.parse(properties), printable(tracked));
  const id = (ids += 1).toString(16).padStart(32, "0");
  const body = `{"sent_at":${at},"events":[{"id":"${id}","collection":${collection},"timestamp":${at},"properties":${properties}}]}`;
  const answer = await fetch(`${server.url}/3.0/projects/${project}/batches?api_key=${key}`, { method: "POST", body });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text).refused?.[0]?.code ?? "stored";
}

let stored = 0;

await check("every accepted input is tracked and stored", async () => {
  for (const json of corpus.accepted) {
    const found = value(json);
    assert.ok(found !== undefined, String(bytes(json)));
    assert.equal(await track(found), "stored", String(bytes(json)));
    stored += 1;
  }
});

await check("no refused input is a value of JavaScript", () => {
  for (const json of corpus.refused) assert.equal(value(json), undefined, String(bytes(json)));
});

await check("every pinned input that JavaScript can hold has the pinned answer", async () => {
  let held = 0;
  for (const { json, answer, sdk } of corpus.pinned) {
    const found = value(json);
    if (found === undefined) {
      assert.equal(answer, "InvalidEventError", String(bytes(json)));
      continue;
    }
    held += 1;
    const became = await track(found);
    assert.equal(became, sdk ?? answer, String(bytes(json)).slice(0, 80));
    if (became === "stored") stored += 1;
  }
  assert.ok(held >= 30, `only ${held} were held`);
});

await check("what was stored can be counted", async () => {
  await eventually("count", VISIBLE_MS, () => server.query("count", { event_collection: "sdk" }), (count) => count === stored);
});

await check("what is no JSON in JavaScript is counted as dropped and not sent", () => {
  const loop = {};
  loop.self = loop;
  const throws = { toJSON() { throw new Error("no"); } };
  for (const wrong of [loop, throws, { big: 1n }, [1], "text", 7, () => 1]) assert.equal(encode("sdk", wrong), 3, String(typeof wrong));
  for (const [odd, kept] of [[{ a: NaN, b: undefined, c: Infinity }, '{"a":null,"c":null}'], [undefined, "{}"]]) {
    assert.equal(encode("sdk", odd)[1], kept);
  }
});

await server.stop();
finish();
