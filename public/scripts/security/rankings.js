// The rankings: what the failures have in common. Choosing an entry filters the events by it.

import { find, make, makeButton, redraw } from "../elements.js";
import { visible } from "./texts.js";

/** The lists of a summary, with the filter that each belongs to, and what stands for null. */
const RANKINGS = [
  { list: "reasons", filter: "reason", unknown: "without a reason" },
  { list: "sources", filter: "ip", unknown: "not known, or erased" },
  { list: "accounts", filter: "user_id", unknown: "no account" },
];

/** Show a summary's rankings. `onChoose(filters)` is called for the entry whose events the person wants to see. */
export function showRankings(summary, onChoose) {
  for (const { list, filter, unknown } of RANKINGS) {
    // What failures do not have in common comes last, however much of it there is, and is compared with nothing.
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
      // Not an attribute, which the page's policy forbids: a property, which only a script of ours can set.
      bar.style.setProperty("--share", String(count / most));
      return make("li", {}, name, " ", amount, bar);
    });
    redraw(find(list), ...(items.length ? items : [make("li", { class: "none" }, "There were none.")]));
  }
}
