/**
 * The README's code, so that the compiler sees it.
 */

import { defineElement, draw, lineChart, type Answer, type Chart } from "@rivulet/charts";

declare const answer: Answer;
declare const newerAnswer: Answer;

const chart: Chart = lineChart(document.querySelector("#clicks")!, answer, { title: "Clicks" });
chart.update(newerAnswer);
chart.destroy();

defineElement();
draw(document.body, 7);
draw(document.body, [{ country: "PL", result: null }], { theme: "dark", timezone: 3600 });
// @ts-expect-error A title is text.
draw(document.body, 7, { title: 7 });
