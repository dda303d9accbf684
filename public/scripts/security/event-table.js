// The table of events: newest first, each event once, whatever order pages and polls bring them in.

import { find, make, makeButton, makeTime } from "../elements.js";
import { STARTUP } from "./audit-log.js";
import { makeText, visible } from "./texts.js";

const TIME = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };

export class EventTable {
  #rows = [];
  #ids = new Set();
  #onOpen;
  #onFilter;

  /** `onOpen(event)` shows an event's detail, `onFilter(filters)` filters by a value that the person has chosen. */
  constructor(onOpen, onFilter) {
    this.#onOpen = onOpen;
    this.#onFilter = onFilter;
  }

  get events() {
    return this.#rows.map(({ event }) => event);
  }

  has(event) {
    return this.#ids.has(event.id);
  }

  /** Show what another reading says of an event's chain. */
  check({ id, chain }) {
    const row = this.#rows.find(({ event }) => event.id === id);
    if (!row || row.event.chain.intact === chain.intact) return;
    row.event.chain.intact = chain.intact;
    row.element.querySelector(".chain").replaceWith(chainMark(chain.intact));
  }

  clear() {
    this.#rows = [];
    this.#ids.clear();
    find("event-rows").replaceChildren();
  }

  /** Add events; return how many of them were not there yet. */
  add(events) {
    const added = events.filter((event) => !this.has(event));
    for (const event of added) {
      const place = this.#rows.findIndex((row) => isNewer(event, row.event));
      const row = { event, element: this.#row(event) };
      this.#ids.add(event.id);
      if (place === -1) {
        this.#rows.push(row);
        find("event-rows").append(row.element);
      } else {
        this.#rows[place].element.before(row.element);
        this.#rows.splice(place, 0, row);
      }
    }
    return added.length;
  }

  #row(event) {
    const open = makeButton(visible(event.event), { label: `${visible(event.event)}: details` }, () => this.#onOpen(event));
    open.className = "value";
    open.setAttribute("aria-haspopup", "dialog");
    return make(
      "tr",
      { role: "row", "data-event": event.id },
      cell("Time", makeTime(event.time, TIME)),
      cell("Event", open, ...(event.event === STARTUP ? [" ", make("span", { class: "function" }, "of ", makeText(event.function))] : [])),
      cell("Outcome", make("span", { class: `outcome ${event.outcome === "failure" ? "failed" : ""}` }, makeText(event.outcome))),
      cell("Severity", make("span", { class: ["high", "critical"].includes(event.severity) ? "severe" : "" }, makeText(event.severity))),
      cell("Reason", this.#filter("reason", event.reason)),
      cell("Account", this.#filter("user_id", event.user_id, event.user_id?.slice(0, 8))),
      cell("Source IP", event.erased ? make("span", { class: "none" }, "erased") : this.#filter("ip", event.source_ip)),
      cell("Chain", chainMark(event.chain.intact)),
    );
  }

  /** A value that filters the table when it is chosen. */
  #filter(name, value, short = value) {
    if (value === null) return make("span", { class: "none", "aria-label": "none", role: "img" }, "–");
    const button = makeButton(visible(short), { label: `Filter by ${visible(value)}` }, () => this.#onFilter({ [name]: value }));
    button.className = "value";
    return button;
  }
}

/** Say whether a record is as it was written: by a sign, a word and a colour. */
export function chainMark(isIntact) {
  return make("span", { class: "chain", "data-intact": String(isIntact) }, isIntact ? "intact" : "does not fit the record before it, or was changed");
}

/** The order of the log: time, chain, place in the chain; each from the last to the first. */
function isNewer(event, other) {
  if (event.time !== other.time) return event.time > other.time;
  if (event.chain.id !== other.chain.id) return event.chain.id > other.chain.id;
  return event.chain.sequence > other.chain.sequence;
}

/** A cell. Where the table is too wide for the window its rows become lists, and each cell shows the column's name. */
function cell(column, ...content) {
  return make("td", { role: "cell", "data-column": column }, ...content);
}
