/**
 * Charts of Rivulet's answers: `lineChart`, `barChart`, `metric`, `draw`, and the element `<rivulet-chart>`.
 *
 * The way of an answer: `answer.ts` reads it into columns, the wasm module plans the picture (`plan.ts`), a loop draws
 * it (`replay.ts`), `mount.ts` keeps it right while the page changes; `element.ts` asks the server for answers. What
 * each function promises is in `types/index.d.ts`. Importing it touches neither the page nor the network.
 */

import type * as Api from "../types/index.js";
import { defineElement } from "./element.js";
import { mount } from "./mount.js";

export const lineChart: typeof Api.lineChart = (element, answer, options) => mount(element, "line", answer, options);

export const barChart: typeof Api.barChart = (element, answer, options) => mount(element, "bar", answer, options);

export const metric: typeof Api.metric = (element, answer, options) => mount(element, "metric", answer, options);

export const draw: typeof Api.draw = (element, answer, options) => mount(element, undefined, answer, options);

export { defineElement };
