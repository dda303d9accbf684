// Texts of the audit log. Attackers control some of them (a user agent, a path). So they are inserted as text, and
// characters that change the display of the surrounding text, such as bidi marks, are written out.

import { make } from "../elements.js";

/** Invisible characters: controls, formats (bidi marks, zero width), line separators, private use, surrogates. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

/** Return the text with each invisible character as an escape sequence of JavaScript. */
export function visible(text) {
  return String(text).replace(UNSEEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** Make an element for such a text. In a <bdi>, right-to-left letters do not affect the text around it. */
export function makeText(text) {
  return make("bdi", {}, visible(text));
}

/** Make such a text as code. */
export function makeCode(text) {
  return make("code", {}, makeText(text));
}

/** Return a text of this page as nodes, with <code> for the parts in backticks. */
export function withCode(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

/** Return the time of day in hours, minutes and seconds. */
export function clock(date = new Date()) {
  return date.toLocaleTimeString("en-GB");
}

/** Return a number with its noun: "1 event", "2 events". */
export function count(number, noun) {
  return `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;
}
