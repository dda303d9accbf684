// How far the page looks back.

import { find, make } from "../elements.js";

/** Seconds by their names. */
const RANGES = { hour: 3600, day: 24 * 3600, week: 7 * 24 * 3600, month: 30 * 24 * 3600 };
const FIRST = "day";
/** Milliseconds. The server's clock may be ahead of the browser's, and its newest events must not be missing. */
const AHEAD = 60_000;

/** Set up the choice, once. `onChange` is called when the person has chosen. */
export function setUpRanges(onChange) {
  for (const name of Object.keys(RANGES)) {
    const radio = make("input", { type: "radio", name: "range", id: `range-${name}`, value: name, checked: name === FIRST });
    radio.addEventListener("change", onChange);
    find("ranges").append(make("span", { class: "option" }, radio, make("label", { for: radio.id }, name)));
  }
}

/** Return the chosen range as it is now: `{from, to}`, Dates. */
export function currentRange() {
  const seconds = RANGES[find("ranges").querySelector(":checked").value];
  return { from: new Date(Date.now() - seconds * 1000), to: new Date(Date.now() + AHEAD) };
}
