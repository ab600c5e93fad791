/**
 * Reads a query's answer in Keen's JSON shapes into columns of numbers.
 *
 * The server does the same in `charts/src/native/answer.rs`; the files in `charts/tests/answers/` hold both to the same
 * reading. It decides nothing about looks, and knows neither wasm nor the page.
 */

import type { Answer } from "../types/index.js";

/** An answer as columns. */
export interface Columns {
  /** 0 one value, 1 buckets of time, 2 named groups: the codes of `charts/src/scene/flat.rs`. */
  axis: 0 | 1 | 2;
  /** When each bucket begins, and when the last one ends, in milliseconds. */
  times: number[];
  /** Names of groups. */
  names: string[];
  /** Names of series. */
  series: string[];
  /** One column per series; not-a-number where there is no value. */
  values: number[][];
}

/** Most series into which a second group is split; with more, groups are named by both values. */
const SPLIT_MAX = 8;

type Row = Record<string, unknown>;

/** Reads an answer, or its `result` alone; throws a `TypeError` for a shape that has no picture. */
export function readAnswer(answer: Answer | Answer["result"]): Columns {
  const result = isRow(answer) && "result" in answer && !isRow(answer.timeframe) ? answer.result : answer;
  if (!Array.isArray(result)) {
    if (!isRow(result)) return { axis: 0, times: [], names: [], series: [""], values: [[number(result)]] };
    const names = Object.keys(result);
    return { axis: 2, times: [], names, series: [""], values: [names.map((name) => number(result[name]))] };
  }
  return isRow(result[0]) && "timeframe" in result[0] ? buckets(result) : groups(result);
}

function groups(rows: unknown[]): Columns {
  const parts = rows.map((row) => parted(row));
  const values = rows.map((row) => number((row as Row).result));
  if (rows.length && parts.every((part) => part.length === 2)) {
    const names = new Map<string, number>();
    const series = new Map<string, number>();
    const cells = parts.map(([first, second], row) => [index(names, first), index(series, second), values[row]]);
    if (series.size <= SPLIT_MAX) {
      return {
        axis: 2,
        times: [],
        names: [...names.keys()],
        series: [...series.keys()],
        values: fill(names.size, series.size, cells),
      };
    }
  }
  return { axis: 2, times: [], names: parts.map((part) => part.join(", ")), series: [""], values: [values] };
}

function buckets(entries: unknown[]): Columns {
  const series = new Map<string, number>();
  const cells: unknown[][] = [];
  const times: number[] = [];
  let end: unknown;
  entries.forEach((entry, place) => {
    const { value, timeframe } = entry as { value: unknown; timeframe: { start: string; end: string } };
    times.push(Date.parse(timeframe.start));
    end = timeframe.end;
    if (Array.isArray(value)) {
      for (const row of value) cells.push([place, index(series, parted(row).join(", ")), number((row as Row).result)]);
    } else if (isRow(value)) {
      for (const label in value) cells.push([place, index(series, label), number(value[label])]);
    } else {
      cells.push([place, index(series, ""), number(value)]);
    }
  });
  times.push(Date.parse(end as string));
  if (times.some(isNaN)) throw unreadable();
  return { axis: 1, times, names: [], series: [...series.keys()], values: fill(entries.length, series.size, cells) };
}

function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function number(value: unknown): number {
  if (typeof value === "number") return value;
  if (value === null) return NaN;
  throw unreadable();
}

function unreadable(): TypeError {
  return new TypeError("an answer of this shape can't be drawn as a chart");
}

/** The values of a row's groups, as text. */
function parted(row: unknown): string[] {
  if (!isRow(row)) throw unreadable();
  return Object.keys(row)
    .filter((key) => key !== "result")
    .map((key) => text(row[key]));
}

function text(value: unknown): string {
  return value === null ? "(none)" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The place of a name, which it gets when it is first seen. */
function index(known: Map<string, number>, name: string): number {
  let at = known.get(name);
  if (at === undefined) known.set(name, (at = known.size));
  return at;
}

function fill(places: number, series: number, cells: unknown[][]): number[][] {
  const columns = Array.from({ length: series }, () => new Array<number>(places).fill(NaN));
  for (const [place, column, value] of cells) columns[column as number][place as number] = value as number;
  return columns;
}
