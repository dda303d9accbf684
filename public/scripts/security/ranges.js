// The time range of the numbers and of the list.

import { find, make } from "../elements.js";

/** The ranges in seconds. */
const RANGES = { hour: 3600, day: 24 * 3600, week: 7 * 24 * 3600, month: 30 * 24 * 3600 };
const FIRST = "day";
/** Milliseconds. If the server's clock is ahead of the browser's, its newest events must still be in the range. */
const AHEAD = 60_000;

/** Set up the radio buttons, once. `onChange` is called when the user selects another range. */
export function setUpRanges(onChange) {
  for (const name of Object.keys(RANGES)) {
    const radio = make("input", { type: "radio", name: "range", id: `range-${name}`, value: name, checked: name === FIRST });
    radio.addEventListener("change", onChange);
    find("ranges").append(make("span", { class: "option" }, radio, make("label", { for: radio.id }, name)));
  }
}

/** Return the selected range, which ends now, as Dates: `{from, to}`. */
export function currentRange() {
  const seconds = RANGES[find("ranges").querySelector(":checked").value];
  return { from: new Date(Date.now() - seconds * 1000), to: new Date(Date.now() + AHEAD) };
}
