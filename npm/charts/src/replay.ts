/**
 * Draws a display list on a canvas: one loop, no decisions. The words of each operation are in
 * `charts/src/scene/list.rs`.
 */

import type { Picture } from "./plan.js";

const ANCHORS: CanvasTextAlign[] = ["left", "center", "right"];

/** Draws the list at `ratio` device pixels per CSS pixel. */
export function replay(
  { ops, texts, colours }: Picture,
  to: CanvasRenderingContext2D,
  ratio: number,
  font: string,
): void {
  const css = Array.from(colours, (colour) => "#" + colour.toString(16).padStart(6, "0"));
  to.setTransform(ratio, 0, 0, ratio, 0, 0);
  to.lineJoin = "round";
  let at = 0;
  const path = (count: number) => {
    to.beginPath();
    for (const end = at + count * 2; at < end; at += 2) to.lineTo(ops[at], ops[at + 1]);
  };
  while (at < ops.length) {
    const code = ops[at++];
    to.fillStyle = to.strokeStyle = css[ops[at++]];
    if (code === 1) {
      to.globalAlpha = ops[at];
      to.fillRect(ops[at + 1], ops[at + 2], ops[at + 3], ops[at + 4]);
      at += 5;
    } else if (code === 2) {
      to.lineWidth = ops[at];
      to.setLineDash(ops[at + 1] ? [ops[at + 1], ops[at + 1]] : []);
      at += 3;
      path(ops[at - 1]);
      to.stroke();
    } else if (code === 3) {
      to.globalAlpha = ops[at];
      at += 2;
      path(ops[at - 1]);
      to.fill();
    } else if (code === 4) {
      to.beginPath();
      to.arc(ops[at], ops[at + 1], ops[at + 2], 0, 7);
      to.fill();
      at += 3;
    } else {
      to.font = fontOf(ops[at + 1], ops[at + 2] > 0, font);
      to.textAlign = ANCHORS[ops[at + 3] * 2];
      to.fillText(texts[ops[at]], ops[at + 4], ops[at + 5]);
      at += 6;
    }
    to.globalAlpha = 1;
  }
}

/** A font as CSS writes it. */
export function fontOf(size: number, bold: boolean, family: string): string {
  return (bold ? "600 " : "") + size + "px " + family;
}
