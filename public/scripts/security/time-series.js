// The bars of the chart: one for each interval of a summary, also for empty intervals.

import { FAILED_LOGIN, LOGIN } from "./audit-log.js";

/**
 * Return `{start, seconds, logins, failures}` for each interval of a summary. `start` is in seconds since 1970. Intervals
 * are merged until there are at most `most`, because a phone has room for fewer than the server sends.
 */
export function loginSeries(summary, most) {
  const from = Date.parse(summary.from) / 1000;
  const to = Date.parse(summary.to) / 1000;
  const seconds = summary.interval * Math.max(1, Math.ceil((to - from) / summary.interval / most));
  const floor = (time) => Math.floor(time / seconds) * seconds;
  const bars = new Map();
  for (let start = floor(from); start < to; start += seconds) bars.set(start, { start, seconds, logins: 0, failures: 0 });
  for (const { start, event, count } of summary.series) {
    const bar = bars.get(floor(Date.parse(start) / 1000));
    if (event === LOGIN) bar.logins += count;
    if (event === FAILED_LOGIN) bar.failures += count;
  }
  return [...bars.values()];
}

/** Return the length of an interval as a text, such as "10 minutes". */
export function inWords(seconds) {
  const units = [
    [24 * 3600, "day"],
    [3600, "hour"],
    [60, "minute"],
  ];
  const [unit, name] = units.find(([unit]) => seconds >= unit && seconds % unit === 0) ?? [1, "second"];
  const number = seconds / unit;
  return `${number} ${name}${number === 1 ? "" : "s"}`;
}
