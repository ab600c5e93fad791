/**
 * The script-tag build: registers `<rivulet-chart>` and puts the functions at `window.rivuletCharts`.
 */

import { defineElement } from "./element.js";

export * from "./index.js";

defineElement();
