// The table of events, newest first. Pages and polls may add events in any order, also twice.

import { find, make, makeButton, makeTime } from "../elements.js";
import { STARTUP } from "./audit-log.js";
import { makeText, visible } from "./texts.js";

const TIME = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };

export class EventTable {
  #rows = [];
  #ids = new Set();
  #onOpen;
  #onFilter;

  /** `onOpen(event)` shows the details of an event. `onFilter(filters)` filters by the value that the user has selected. */
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

  /** Update the chain check of an event. */
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

  /** Add the events that are not in the table yet. Return their number. */
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
      cell("Client IP", event.erased ? make("span", { class: "none" }, "erased") : this.#filter("ip", event.source_ip)),
      cell("Chain", chainMark(event.chain.intact)),
    );
  }

  /** Make a button that filters the table by a value. */
  #filter(name, value, short = value) {
    if (value === null) return make("span", { class: "none", "aria-label": "none", role: "img" }, "–");
    const button = makeButton(visible(short), { label: `Filter by ${visible(value)}` }, () => this.#onFilter({ [name]: value }));
    button.className = "value";
    return button;
  }
}

/** Make the mark of a chain check, with a sign, a word and a colour. */
export function chainMark(isIntact) {
  return make("span", { class: "chain", "data-intact": String(isIntact) }, isIntact ? "intact" : "changed, or the record before it was");
}

/** Compare two events in the order of the log: time, chain, place in the chain, all descending. */
function isNewer(event, other) {
  if (event.time !== other.time) return event.time > other.time;
  if (event.chain.id !== other.chain.id) return event.chain.id > other.chain.id;
  return event.chain.sequence > other.chain.sequence;
}

/** Make a cell. In a narrow window the rows become lists, and each cell shows the name of its column. */
function cell(column, ...content) {
  return make("td", { role: "cell", "data-column": column }, ...content);
}
