// Texts of the audit log. Attackers choose some of them (a user agent, a path), so they go in as text, and nothing in
// them may make its surroundings read differently: no control character, no mark that turns the reading direction.

import { make } from "../elements.js";

/** Characters that are not seen and change what is seen: controls, formats (bidi marks, zero width), line separators. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

/** Return the text with each unseen character written out, as JavaScript would. */
export function visible(text) {
  return String(text).replace(UNSEEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** Make an element for such a text. Letters that are read from right to left stay inside it (<bdi>). */
export function makeText(text) {
  return make("bdi", {}, visible(text));
}

/** Make such a text as code. */
export function makeCode(text) {
  return make("code", {}, makeText(text));
}

/** Return a text of ours as nodes; what stands in backticks becomes code. */
export function withCode(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

/** Return the time of day. */
export function clock(date = new Date()) {
  return date.toLocaleTimeString("en-GB");
}

/** Return a number with its noun: "1 event", "2 events". */
export function count(number, noun) {
  return `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;
}
