// JSON for people to read: indented, with its names tinted, and with one value (the challenge) marked wherever it is.

import { make } from "./elements.js";

/** Make a <pre> with a JSON value. Its text is the JSON itself. Each occurrence of `marked` is highlighted. */
export function jsonView(value, marked = null) {
  const code = make("code");
  // Odd places are what the group in brackets matched: a name with its colon.
  for (const [place, part] of JSON.stringify(value, null, 2).split(/("(?:[^"\\]|\\.)*"(?=:))/).entries()) {
    if (place % 2) code.append(make("span", { class: "json-name" }, part));
    else code.append(...withMarks(part, marked));
  }
  return make("pre", { class: "json" }, code);
}

function withMarks(text, marked) {
  if (!marked) return [text];
  return text.split(marked).flatMap((part, place) => (place ? [make("mark", {}, marked), part] : [part]));
}
