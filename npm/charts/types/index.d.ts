/**
 * What `@rivulet/charts` offers, as its users see it.
 *
 * Written by hand so that it reads well; `src/index.ts` is checked against it, and so are the examples of the README.
 */

/** A value of an analysis: a number, or null where there was nothing to compute from. */
export type Value = number | null;

/** A group's value and the properties it is grouped by. */
export interface Group {
  [property: string]: unknown;
  result: Value;
}

/** One bucket of time with its value, its groups, or a value per analysis. */
export interface Bucket {
  value: Value | Group[] | Record<string, Value>;
  timeframe: { start: string; end: string };
}

/** What a query answers. */
export interface Answer {
  result: Value | Group[] | Bucket[] | Record<string, Value>;
}

/** Which picture. */
export type ChartType = "line" | "bar" | "metric";

/** How a chart looks. All are optional. */
export interface ChartOptions {
  /** Above the chart. */
  title?: string;
  /** Colours; `auto`, the default, follows the reader's system. */
  theme?: "light" | "dark" | "auto";
  /**
   * Where days begin on an axis of time: a name such as `Europe/Warsaw`, seconds east of UTC, or `local` for the
   * reader's own. The default is UTC, which is also the default of queries.
   */
  timezone?: string | number;
  /** Fonts of the texts, as in CSS. */
  fontFamily?: string;
}

/** A chart on the page. */
export interface Chart {
  /** Draws another answer in the same place; options that are given replace the former ones. */
  update(answer: Answer | Answer["result"], options?: ChartOptions): void;
  /** Removes the chart and all it holds. */
  destroy(): void;
}

/**
 * Draws values over time as lines, one per group.
 *
 * ```js
 * const chart = lineChart(document.querySelector('#clicks'), answer, { title: 'Clicks' })
 * chart.update(newerAnswer)
 * ```
 */
export function lineChart(element: Element, answer: Answer | Answer["result"], options?: ChartOptions): Chart;

/**
 * Draws values side by side as bars: groups, or buckets of time.
 *
 * ```js
 * barChart(document.querySelector('#pages'), { result: [{ page: '/', result: 7 }, { page: '/about', result: 3 }] })
 * ```
 */
export function barChart(element: Element, answer: Answer | Answer["result"], options?: ChartOptions): Chart;

/**
 * Draws one number, as large as its place allows.
 *
 * ```js
 * metric(document.querySelector('#today'), { result: 1234 }, { title: 'Clicks today' })
 * ```
 */
export function metric(element: Element, answer: Answer | Answer["result"], options?: ChartOptions): Chart;

/**
 * Draws what suits the answer's shape: a metric for one value, a line for buckets of time, bars for groups.
 *
 * ```js
 * draw(document.querySelector('#chart'), await (await fetch(queryUrl)).json())
 * ```
 */
export function draw(element: Element, answer: Answer | Answer["result"], options?: ChartOptions): Chart;

/**
 * Registers the element `<rivulet-chart>`; doing it again does nothing. The script-tag build does it by itself.
 *
 * ```html
 * <rivulet-chart server="https://events.example.com" project="…" key="rvr…" analysis="count"
 *   event-collection="clicks" timeframe="this_14_days" interval="daily" refresh="10"></rivulet-chart>
 * ```
 */
export function defineElement(): void;
