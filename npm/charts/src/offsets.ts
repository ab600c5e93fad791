/**
 * Makes the table of a time zone's offsets over a span, which the scene needs to find where days begin.
 *
 * Zones are the browser's business (`Intl`); carrying a database of them would be larger than everything else here.
 * `Intl` takes some 17 ms to set up, so nothing is made for UTC and fixed offsets.
 */

const DAY = 864e5;

/** Pairs of (from ms, seconds east of UTC) for `start..end`; none for UTC and for unknown names. */
export function offsets(timezone: string | number | undefined, start: number, end: number): number[] {
  const seconds = Number(timezone ?? 0);
  if (!isNaN(seconds)) return seconds ? [start, seconds] : [];
  let format: Intl.DateTimeFormat;
  try {
    const timeZone = timezone === "local" ? undefined : (timezone as string);
    const whole = {
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    } as const;
    format = new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", ...whole });
  } catch {
    return [];
  }
  const offset = (at: number) => {
    const part: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(at)) part[type] = +value;
    return (
      Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1e3 - Math.floor(at / 1e3)
    );
  };
  let before = offset(start);
  const table = [start, before];
  // A zone changes at most a few times a year; longer spans show months, for which a rough table does.
  const step = Math.max(DAY * 20, (end - start) / 200);
  for (let low = start; low < end; low += step) {
    const after = offset(low + step);
    if (after === before) continue;
    let [left, right] = [low, low + step];
    while (right - left > 1e3) {
      const middle = (left + right) / 2;
      if (offset(middle) === before) left = middle;
      else right = middle;
    }
    table.push(Math.round(right / 6e4) * 6e4, after);
    before = after;
  }
  return table;
}
