// The rankings of failures by reason, client IP and account. Each entry filters the list of events.

import { find, make, makeButton, redraw } from "../elements.js";
import { visible } from "./texts.js";

/** The lists of a summary, each with its filter and the text for null. */
const RANKINGS = [
  { list: "reasons", filter: "reason", unknown: "no reason" },
  { list: "sources", filter: "ip", unknown: "unknown or erased" },
  { list: "accounts", filter: "user_id", unknown: "no account" },
];

/** Show the rankings of a summary. `onChoose(filters)` is called when the user selects an entry. */
export function showRankings(summary, onChoose) {
  for (const { list, filter, unknown } of RANKINGS) {
    // The entry for null comes last and has no bar, because its failures have nothing in common.
    const named = summary[list].filter(({ value }) => value !== null);
    const entries = [...named, ...summary[list].filter(({ value }) => value === null)];
    const most = Math.max(...named.map(({ count }) => count));
    const items = entries.map(({ value, count }) => {
      const name =
        value === null
          ? make("span", {}, unknown)
          : makeButton(visible(value), { label: `${visible(value)}: show these failures` }, () =>
              onChoose({ [filter]: value, outcome: "failure" }),
            );
      const amount = make("span", { class: "count" }, count.toLocaleString("en-GB"));
      if (value === null) return make("li", { class: "none" }, name, " ", amount);
      name.className = "value";
      const bar = make("span", { class: "bar", "aria-hidden": "true" });
      // The content security policy forbids the attribute `style`, but scripts may set properties.
      bar.style.setProperty("--share", String(count / most));
      return make("li", {}, name, " ", amount, bar);
    });
    redraw(find(list), ...(items.length ? items : [make("li", { class: "none" }, "No failures in this time.")]));
  }
}
