// The headline numbers: what a member of the Security team wants to know first.

import { find, make, makeButton, redraw } from "../elements.js";
import { FAILED_LOGIN, LOCK, LOGIN, REFUSED_ACCESS, TOKEN_REUSE } from "./audit-log.js";
import { EVENT_MEANINGS } from "./event-meanings.js";

/**
 * Kinds of event, in the order of the page. `isAlarm`: even one is worth a look. What the service's catalogue does not
 * have is left out: there a zero would say nothing.
 */
const HEADLINES = [
  { event: LOGIN, title: "Logins" },
  { event: FAILED_LOGIN, title: "Failed logins" },
  { event: LOCK, title: "Locks", isAlarm: true },
  { event: TOKEN_REUSE, title: "Token reuse", isAlarm: true },
  { event: REFUSED_ACCESS, title: "Access refused" },
].filter(({ event }) => Object.hasOwn(EVENT_MEANINGS, event));

/** Show a summary's numbers. `onChoose({event})` is called for the one whose events the person wants to see. */
export function showHeadlines(summary, onChoose) {
  const counts = new Map();
  for (const { event, count } of summary.series) counts.set(event, (counts.get(event) ?? 0) + count);
  redraw(
    find("headlines"),
    ...HEADLINES.map(({ event, title, isAlarm }) => {
      const number = counts.get(event) ?? 0;
      const name = number
        ? makeButton(title, { label: `${title}: show these events` }, () => onChoose({ event }))
        : make("span", {}, title);
      name.className = "headline-name";
      return make(
        "div",
        { "data-headline": event, "data-alarm": isAlarm && number > 0 ? "true" : null },
        make("dt", {}, name),
        make("dd", {}, number.toLocaleString("en-GB")),
      );
    }),
  );
}
