// The headline numbers: the most important events for the security team.

import { find, make, makeButton, redraw } from "../elements.js";
import { FAILED_LOGIN, LOCK, LOGIN, REFUSED_ACCESS, TOKEN_REUSE } from "./audit-log.js";
import { EVENT_MEANINGS } from "./event-meanings.js";

/**
 * The events of the headlines, in the order of the page. `isAlarm` marks events of which even one needs attention. Events
 * that the catalogue does not have are left out, because their zero would be misleading.
 */
const HEADLINES = [
  { event: LOGIN, title: "Logins" },
  { event: FAILED_LOGIN, title: "Failed logins" },
  { event: LOCK, title: "Lockouts", isAlarm: true },
  { event: TOKEN_REUSE, title: "Token reuse", isAlarm: true },
  { event: REFUSED_ACCESS, title: "Access denied" },
].filter(({ event }) => Object.hasOwn(EVENT_MEANINGS, event));

/** Show the numbers of a summary. `onChoose({event})` is called when the user selects one. */
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
