/**
 * Stands in for the package where there is no page: on servers and at the edge. Charts that are asked for there are
 * drawn when the browser takes over, so nothing needs a check.
 */

import type * as Api from "../types/index.js";

const nothing = () => ({ update() {}, destroy() {} });

export const lineChart: typeof Api.lineChart = nothing;
export const barChart: typeof Api.barChart = nothing;
export const metric: typeof Api.metric = nothing;
export const draw: typeof Api.draw = nothing;
export const defineElement: typeof Api.defineElement = () => {};
