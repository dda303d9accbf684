// Indented JSON with coloured names, in which one value (the challenge) is highlighted.

import { make } from "./elements.js";

/** Make a <pre> with a JSON value. Its text is the JSON itself, and `marked` is highlighted wherever it appears. */
export function jsonView(value, marked = null) {
  const code = make("code");
  // The parts at odd positions are the matches of the group: names.
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
