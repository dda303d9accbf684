// The chart of logins (upwards) and failed logins (downwards). So it can be read without colours.

import { find, make, redraw } from "../elements.js";
import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { count } from "./texts.js";
import { inWords, loginSeries } from "./time-series.js";

const HEIGHT = 240;
/** The minimum width of a bar with its gap, in pixels. */
const NARROWEST = 5;
const DAY = 24 * 3600;
/** The possible steps of the vertical axis. */
const WHOLE = [1, 10, 100, 1000, 1e4, 1e5, 1e6].flatMap((power) => [power, 2 * power, 5 * power]);

export class LoginChart {
  #summary = null;
  #plot = null;
  #width = 0;
  #onChoose;

  /** `onChoose({from, to})` is called with two Dates when the user selects an interval. */
  constructor(onChoose) {
    this.#onChoose = onChoose;
    // A drawn chart does not change its colours and its number of bars, so it is drawn again.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => {
      if (find("chart").clientWidth !== this.#width) this.#draw();
    }).observe(find("chart"));
  }

  show(summary) {
    this.#summary = summary;
    this.#draw();
  }

  clear() {
    this.#summary = null;
    this.#draw();
    find("chart-rows").replaceChildren();
  }

  #draw() {
    const place = find("chart");
    this.#width = place.clientWidth;
    this.#plot?.destroy();
    this.#plot = null;
    if (!this.#summary || !this.#width) return; // The chart is not visible yet.
    const bars = loginSeries(this.#summary, Math.floor(this.#width / NARROWEST));
    this.#plot = new uPlot(this.#options(bars), columns(bars), place);
    this.#plot.over.addEventListener("click", () => {
      const bar = bars[this.#plot.cursor.idx];
      if (bar) this.#choose(bar);
    });
    find("chart-readout").textContent = "";
    find("chart-summary").textContent = inOneSentence(bars);
    redraw(find("chart-rows"), ...this.#rows(bars));
  }

  #choose({ start, seconds }) {
    this.#onChoose({ from: new Date(start * 1000), to: new Date((start + seconds) * 1000) });
  }

  #options(bars) {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), ticks: { stroke: colour("--line") }, grid: { stroke: colour("--line"), width: 1 } };
    const first = bars[0].start;
    const end = bars.at(-1).start + bars.at(-1).seconds;
    const paths = uPlot.paths.bars({ size: [0.8, 60], align: 1 });
    const most = Math.max(1, ...bars.map(({ logins }) => logins));
    const least = -Math.max(1, ...bars.map(({ failures }) => failures));
    return {
      width: this.#width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: [first, end] }, y: { range: [least * 1.1, most * 1.1] } },
      series: [
        {},
        { label: "Logins", fill: colour("--muted"), width: 0, paths, points: { show: false } },
        { label: "Failed logins", fill: colour("--wrong"), width: 0, paths, points: { show: false } },
      ],
      axes: [
        { ...axis, size: 30, space: 70, values: (plot, times) => times.map((time) => label(time, end - first)) },
        // Whole numbers without a sign: the values below zero are numbers of failed logins.
        { ...axis, size: 44, incrs: WHOLE, values: (plot, values) => values.map((value) => String(Math.abs(value))) },
      ],
      hooks: {
        setCursor: [({ cursor }) => (find("chart-readout").textContent = bars[cursor.idx] ? inWordsOf(bars[cursor.idx]) : "")],
      },
    };
  }

  /** Make the rows of the table with the same numbers, for screen readers. Empty intervals are left out. */
  #rows(bars) {
    const rows = bars.filter(({ logins, failures }) => logins || failures).reverse();
    if (!rows.length) return [make("tr", {}, make("td", { colspan: "3" }, "No logins in this time."))];
    return rows.map((bar) => {
      const button = make("button", { type: "button", class: "value", "aria-label": `${moment(bar.start)}: show these events` }, moment(bar.start));
      button.addEventListener("click", () => this.#choose(bar));
      return make("tr", {}, make("th", { scope: "row" }, button), make("td", {}, String(bar.logins)), make("td", {}, String(bar.failures)));
    });
  }
}

function columns(bars) {
  return [bars.map(({ start }) => start), bars.map(({ logins }) => logins), bars.map(({ failures }) => -failures)];
}

function label(seconds, span) {
  const date = new Date(seconds * 1000);
  const isDate = span > 2 * DAY || (date.getHours() === 0 && date.getMinutes() === 0);
  if (isDate) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return date.toLocaleTimeString("en-GB", { timeStyle: "short" });
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

function inWordsOf({ start, seconds, logins, failures }) {
  return `${moment(start)}, ${inWords(seconds)}: ${count(logins, "login")}, ${failures.toLocaleString("en-GB")} failed. Click to see the events.`;
}

function inOneSentence(bars) {
  const sum = (name) => bars.reduce((total, bar) => total + bar[name], 0);
  const worst = bars.reduce((found, bar) => (bar.failures > found.failures ? bar : found));
  const numbers = `In intervals of ${inWords(bars[0].seconds)}: ${count(sum("logins"), "login")} and ${count(sum("failures"), "failed login")}`;
  return worst.failures ? `${numbers}. The most failures (${worst.failures.toLocaleString("en-GB")}) are in the interval from ${moment(worst.start)}.` : `${numbers}.`;
}
