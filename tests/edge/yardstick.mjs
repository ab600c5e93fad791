/**
 * The yardstick: what the edge worker does to a batch of ours, written in plain JavaScript.
 *
 * It routes, looks the key up, reads, parses, holds every event to the collector's rules (repeated names and digits beyond a
 * double, too), scrubs every text, tells robots, heeds `Sec-GPC`, and sends one message. It is as fast as the author could make
 * it, and not complete: no other forms, no rates, no visitors, no add-ons, no options of keys. `bench_edge` measures both.
 */
import { look as lookExactly } from "./yardstick_exact.mjs";
import { scrub } from "./yardstick_scrub.mjs";

const NAME_CHARS_MAX = 255;
const STRING_CHARS_MAX = 10_000;
const DEPTH_MAX = 32;
const NAMES_MAX = 512;
const EVENTS_MAX = 10_000;
const BODY_BYTES_MAX = 1024 * 1024;
const EVENT_BYTES_MAX = 64 * 1024;
const FOUND_MS = 20_000;
const SEND_MS_MAX = 3_000;

const ID = /^[0-9a-f]{32}$/;
const KEY = /^rv[wmra][0-9A-Za-z]{34}$/;
const PATH = /^\/3\.0\/projects\/([\w-]{1,64})\/batches$/;
const COLLECTION = /^(?![_$])[^$\0]{1,255}$/;
/** The commonest of the words by which the collector tells robots. */
const BOT = /bot|crawl|spider|https?:|headless|lighthouse|preview|monitor|scan|fetch|curl|wget|python|java\/|go-http/i;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Names in KV, what they hold, and until when that is believed. */
const cache = new Map();

async function look(env, name) {
  const known = cache.get(name);
  if (known && known.until > Date.now()) return known.value;
  const value = await env.KEYS.get(name, { type: "json", cacheTtl: 30 });
  if (cache.size >= 1_000) cache.clear();
  cache.set(name, { value, until: Date.now() + FOUND_MS });
  return value;
}

async function hash(key) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(key)));
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

function refusal(status, error_code, message) {
  return Response.json({ error_code, message }, { status, headers: { "Access-Control-Allow-Origin": "*" } });
}

/** What is wrong with a value, or null. */
function fault(value, depth, seen) {
  if (typeof value === "string") {
    if (value.length > STRING_CHARS_MAX) return "InvalidPropertyValueError";
    return value.includes("\0") || !value.isWellFormed() ? "InvalidPropertyValueError" : null;
  }
  if (typeof value === "number") return Number.isFinite(value) ? null : "InvalidPropertyValueError";
  if (value === null || typeof value !== "object") return null;
  if (depth >= DEPTH_MAX) return "InvalidPropertyValueError";
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const found = fault(value[index], depth + 1, seen);
      if (found) return found;
      if (typeof value[index] === "string") replace(value, index, seen);
    }
    return null;
  }
  for (const name in value) {
    seen.names += 1;
    if (seen.names > NAMES_MAX || name.length === 0 || name.length > NAME_CHARS_MAX) return "InvalidPropertyNameError";
    if (name.includes(".") || name[0] === "$" || name.includes("\0") || !name.isWellFormed()) {
      return "InvalidPropertyNameError";
    }
    const found = fault(value[name], depth + 1, seen);
    if (found) return found;
    if (typeof value[name] === "string") replace(value, name, seen);
  }
  return null;
}

/** Puts into its place what a text stands for, and takes out of it what tells who somebody is. */
function replace(holder, name, seen) {
  const text = holder[name];
  let clean;
  if (text === "${keen.ip}") clean = null;
  else if (text === "${keen.user_agent}") clean = seen.agent;
  else clean = scrub(text);
  if (clean !== text) {
    holder[name] = clean;
    seen.isChanged = true;
  }
}

function check(event) {
  if (event === null || typeof event !== "object" || Array.isArray(event)) return "InvalidEventError";
  const { id, collection, timestamp, properties } = event;
  if (typeof id !== "string" || !ID.test(id)) return "InvalidEventError";
  if (typeof collection !== "string" || !COLLECTION.test(collection)) return "InvalidCollectionNameError";
  if (!Number.isInteger(timestamp)) return "InvalidEventError";
  if (properties === null || typeof properties !== "object" || Array.isArray(properties)) return "InvalidEventError";
  if (properties.keen !== undefined && (typeof properties.keen !== "object" || properties.keen === null)) {
    return "NamespaceTypeError";
  }
  return null;
}

/** What is told of the caller: nothing when he asks not to be followed. */
function caller(request) {
  const { headers } = request;
  const agent = headers.get("user-agent");
  if (headers.get("sec-gpc")?.trim() === "1" || agent === null) return { isBot: false, agent: null };
  return { isBot: BOT.test(agent), agent: agent.replace(/(\/\d+)[\d.]*/g, "$1.0.0.0") };
}

function within(ms, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("late")), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const project = PATH.exec(url.pathname)?.[1];
    if (!project || request.method !== "POST") return refusal(404, "ResourceNotFoundError", "there is no such path");
    const key = request.headers.get("authorization") ?? url.searchParams.get("api_key") ?? "";
    if (!KEY.test(key)) return refusal(401, "InvalidApiKeyError", "the key is missing or malformed");
    const [record, settings] = await Promise.all([look(env, `key:${await hash(key)}`), look(env, `project:${project}`)]);
    if (!settings) return refusal(404, "ResourceNotFoundError", "there is no such project");
    if (!record?.is_active || record.project !== project || !record.permitted.includes("writes")) {
      return refusal(401, "InvalidApiKeyError", "the key is unknown or revoked");
    }
    if (Number(request.headers.get("content-length")) > BODY_BYTES_MAX) {
      return refusal(413, "EventTooLargeError", "body is too large");
    }
    const bytes = await request.arrayBuffer();
    if (bytes.byteLength > BODY_BYTES_MAX) return refusal(413, "EventTooLargeError", "body is too large");
    let batch;
    let text;
    try {
      text = decoder.decode(bytes);
      batch = JSON.parse(text);
    } catch {
      return refusal(400, "InvalidBatchError", "body is not JSON");
    }
    if (!Number.isInteger(batch?.sent_at) || !Array.isArray(batch.events) || batch.events.length > EVENTS_MAX) {
      return refusal(400, "InvalidBatchError", "body is not a batch");
    }
    const now = Date.now();
    const skew = now - batch.sent_at;
    const [events, refused] = [[], []];
    const { isBot, agent } = caller(request);
    // Where the next event begins when the sender wrote as we would.
    let at = text.indexOf('"events":[') + 10;
    let exact;
    for (let index = 0; index < batch.events.length; index += 1) {
      const event = batch.events[index];
      const seen = { names: 0, isChanged: false, agent };
      let code = check(event);
      if (code) {
        at = 0;
        refused.push({ index, code, message: "refused" });
        continue;
      }
      const { id, collection, timestamp, properties } = event;
      const named = `{"id":"${id}","collection":${JSON.stringify(collection)},"timestamp":`;
      let written = JSON.stringify(properties);
      const expected = `${named}${timestamp},"properties":${written}}`;
      if (at > 0 && text.startsWith(expected, at)) {
        at += expected.length + 1;
      } else {
        at = 0;
        exact ??= lookExactly(text);
        written = exact[index].properties;
        if (!exact[index].isExact) code = "InvalidPropertyValueError";
      }
      code ??= fault(properties, 0, seen);
      if (code) {
        refused.push({ index, code, message: "refused" });
        continue;
      }
      if (seen.isChanged) written = JSON.stringify(properties);
      if (written.length > EVENT_BYTES_MAX) {
        refused.push({ index, code: "EventTooLargeError", message: "refused" });
        continue;
      }
      const time = new Date(timestamp + skew).toISOString();
      events.push(`${named}"${time}","properties":${written}}`);
    }
    if (events.length > 0) {
      const received = new Date(now).toISOString();
      const context = isBot ? ',"context":{"bot":true}' : "";
      const message = `{"v":2,"project":"${project}","received_at":"${received}"${context},"events":[${events.join(",")}]}`;
      try {
        await within(SEND_MS_MAX, env.EVENTS.send(message, { contentType: "text" }));
      } catch {
        return refusal(503, "ServiceUnavailableError", "events can't be stored now, send them again later");
      }
    }
    const answer = refused.length > 0 ? { accepted: events.length, refused } : { accepted: events.length };
    return Response.json(answer, { headers: { "Access-Control-Allow-Origin": "*" } });
  },
};
