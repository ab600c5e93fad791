/**
 * Hands an answer and its options to the wasm module and takes a display list back.
 *
 * It is the only file that knows how both are laid out in memory (`charts/src/scene/flat.rs`,
 * `charts/src/scene/list.rs`) and where the module comes from. It draws nothing.
 */

// `charts.js` is what wasm-bindgen writes; `build.mjs` puts it beside this file when it bundles.
import start, { plan as planned } from "charts-wasm";

import type { Columns } from "./answer.js";
import type { ChartType } from "../types/index.js";

/** Measures text as it will be drawn; `size` is the em in CSS pixels. */
export interface Ruler {
  width(text: string, size: number, bold: boolean): number;
}

/** A display list; the meaning of its words is in `charts/src/scene/list.rs`. */
export interface Picture {
  colours: Uint32Array;
  ops: Float32Array;
  /** For pointers: series, place, x, y, width, height of each mark. */
  hits: Float32Array;
  texts: string[];
}

/** What a picture is planned from. */
export interface Plan {
  columns: Columns;
  chart?: ChartType;
  title: string;
  width: number;
  height: number;
  dark: boolean;
  /** Pairs of (from ms, seconds east). */
  offsets: number[];
}

const MAGIC = 0x31435652;
const CHARTS = ["", "line", "bar", "metric"];

let ready: Promise<unknown> | undefined;

/** Loads the module once; rejects when the page forbids wasm or it can't be fetched, and then tries anew if called. */
export function load(): Promise<unknown> {
  ready ??= start({ module_or_path: new URL("./charts_bg.wasm", __BASE__) });
  ready.catch(() => (ready = undefined));
  return ready;
}

/** Plans a picture; {@link load} must have succeeded. */
export function plan({ columns, chart, title, width, height, dark, offsets }: Plan, ruler: Ruler): Picture {
  const { axis, times, names, series, values } = columns;
  const places = axis === 1 ? times.length - 1 : axis ? names.length : 1;
  const head = [CHARTS.indexOf(chart ?? ""), width, height, +dark, axis, series.length, places, offsets.length / 2];
  const numbers = new Float64Array(head.length + offsets.length + times.length + series.length * places);
  let at = 0;
  for (const part of [head, offsets, times, ...values]) {
    numbers.set(part, at);
    at += part.length;
  }
  // U+001F parts the texts, so none may hold it.
  const text = [title, ...names, ...series].map((one) => one.slice(0, 400).replace(/\x1f/g, " ")).join("\x1f");
  return read(planned(numbers, text, ruler));
}

function read({ buffer }: Uint8Array): Picture {
  const words = new Uint32Array(buffer, 0, 7);
  if (words[0] !== MAGIC) throw new Error("charts.wasm is of another version than charts.js");
  let at = 28;
  const take = (count: number) => (at += count * 4) - count * 4;
  const colours = new Uint32Array(buffer, take(words[3]), words[3]);
  const ops = new Float32Array(buffer, take(words[4]), words[4]);
  const hits = new Float32Array(buffer, take(words[5]), words[5]);
  const lengths = new Uint32Array(buffer, take(words[6]), words[6]);
  const decoder = new TextDecoder();
  const texts = Array.from(lengths, (length) =>
    decoder.decode(new Uint8Array(buffer, (at += length) - length, length)),
  );
  return { colours, ops, hits, texts };
}
