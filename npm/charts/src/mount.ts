/**
 * Puts a chart into an element and keeps it right: redraws when its size, the screen's pixel ratio or the reader's
 * theme changes.
 *
 * It joins reading, planning and replaying. Until the wasm module is there, and if the page forbids it, it says so in
 * words. It sets no `style` attribute and adds no style element, so pages with `style-src 'none'` can use it.
 */

import { readAnswer, type Columns } from "./answer.js";
import { offsets } from "./offsets.js";
import { load, plan } from "./plan.js";
import { fontOf, replay } from "./replay.js";
import type { Answer, Chart, ChartOptions, ChartType } from "../types/index.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Height in CSS pixels of a chart whose element has none. */
const HEIGHT = 240;

/** Draws `answer` inside `element` and follows its size. Without an answer it waits for the first `update`. */
export function mount(
  element: Element | ShadowRoot,
  chart: ChartType | undefined,
  answer?: Answer | Answer["result"],
  first?: ChartOptions,
): Chart {
  const page = element.ownerDocument;
  const box = page.createElement("div");
  const canvas = page.createElement("canvas");
  const words = page.createElement("p");
  const context = canvas.getContext("2d")!;
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let options: ChartOptions = first ?? {};
  let columns: Columns | undefined;
  let frame = 0;

  Object.assign(box.style, { position: "relative", width: "100%", height: "100%", overflow: "hidden" });
  Object.assign(canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%" });
  Object.assign(words.style, { margin: "0", padding: "12px", font: fontOf(13, false, FONT) });
  canvas.setAttribute("role", "img");
  words.hidden = true;
  box.append(canvas, words);
  element.append(box);
  // An element with a height of its own fills it; another gets one.
  if (!box.clientHeight) box.style.height = HEIGHT + "px";

  const draw = () => {
    frame = 0;
    const { clientWidth: width, clientHeight: height } = box;
    if (!columns || !width || !height) return;
    const family = options.fontFamily ?? FONT;
    const ratio = devicePixelRatio || 1;
    const { times } = columns;
    const dark = options.theme === "dark" || (options.theme !== "light" && scheme.matches);
    const picture = plan(
      {
        columns,
        chart,
        title: options.title ?? "",
        width,
        height,
        dark,
        offsets: times.length > 1 ? offsets(options.timezone, times[0], times[times.length - 1]) : [],
      },
      {
        width(text, size, bold) {
          context.font = fontOf(size, bold, family);
          return context.measureText(text).width;
        },
      },
    );
    // Setting a size clears the canvas, even the same size: only when it changes, and just before drawing, so that
    // nothing empty is ever shown.
    const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide || canvas.height !== tall) {
      canvas.width = wide;
      canvas.height = tall;
    }
    replay(picture, context, ratio, family);
    canvas.setAttribute("aria-label", picture.texts[0]);
    words.hidden = true;
  };
  const soon = () => {
    frame ||= requestAnimationFrame(draw);
  };
  const say = (text: string) => {
    words.textContent = text;
    words.hidden = false;
  };

  const resizes = new ResizeObserver(soon);
  resizes.observe(box);
  scheme.addEventListener("change", soon);
  const stopRatio = followRatio(soon);

  const update: Chart["update"] = (next, changed) => {
    const read = readAnswer(next);
    options = { ...options, ...changed };
    load().then(
      () => {
        columns = read;
        draw();
      },
      () => say("This page's security policy or network keeps the charts' WebAssembly from loading."),
    );
  };
  if (answer !== undefined) update(answer);
  return {
    update,
    destroy() {
      cancelAnimationFrame(frame);
      resizes.disconnect();
      scheme.removeEventListener("change", soon);
      stopRatio();
      columns = undefined;
      box.remove();
    },
  };
}

/** Calls `changed` whenever the window's pixel ratio changes: zoom, or another screen. Returns how to stop. */
function followRatio(changed: () => void): () => void {
  let query: MediaQueryList;
  // A query can only ask for one ratio, so it is asked anew after each change.
  const follow = () => {
    query?.removeEventListener("change", next);
    query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    query.addEventListener("change", next);
  };
  const next = () => {
    follow();
    changed();
  };
  follow();
  return () => query.removeEventListener("change", next);
}
