// The events that the filters let pass: pages by the server's cursor, and what is new since, by polling.

import { find } from "../elements.js";
import { onPress } from "../forms.js";
import { readEvents } from "./audit-log.js";
import { openEvent } from "./event-dialog.js";
import { EventTable } from "./event-table.js";
import { count } from "./texts.js";

/** Milliseconds that a poll looks back from the newest event: two that happen at once are not stored in their order. */
const OVERLAP = 10_000;
/** More than this, and a poll begins the list anew. */
const MOST_NEW = 500;

export class EventList {
  #filters;
  #range;
  #table;
  #cursor = null;
  /** When the list was loaded, and the newest event since: milliseconds. */
  #since = 0;
  #arrived = 0;
  /** Counts loads: an answer to an older one comes too late. */
  #load = 0;

  constructor(filters, range) {
    this.#filters = filters;
    this.#range = range;
    this.#table = new EventTable(openEvent, (values) => filters().add(values));
    onPress(find("more-events"), find("poll-problem"), () => this.#more());
  }

  /** Show the first page. */
  async load() {
    const load = ++this.#load;
    const query = this.#query();
    const page = await readEvents(query);
    if (load !== this.#load) return;
    this.#table.clear();
    this.#table.add(page.items);
    this.#arrived = 0;
    this.#since = page.items.length ? Date.parse(page.items[0].time) : query.from.getTime();
    this.#tell(page.next_cursor);
    find("news").textContent = `${count(page.items.length, "event")}${page.next_cursor ? ", and more" : ""}. Looked at ${clock()}.`;
  }

  /** Ask for what is new. Return how many events there were. */
  async poll() {
    const load = this.#load;
    const query = this.#query();
    const from = new Date(Math.max(this.#since - OVERLAP, query.from.getTime()));
    const events = [];
    let cursor = null;
    do {
      const page = await readEvents({ ...query, from }, cursor);
      if (load !== this.#load) return 0;
      const unknown = page.items.filter((event) => !this.#table.has(event));
      events.push(...unknown);
      cursor = unknown.length ? page.next_cursor : null;
    } while (cursor && events.length <= MOST_NEW);
    if (events.length > MOST_NEW || this.#arrived > MOST_NEW) {
      await this.load();
      return events.length;
    }
    this.#arrived += events.length;
    if (events.length) this.#since = Math.max(this.#since, Date.parse(events[0].time));
    this.#table.add(events);
    this.#tell(this.#cursor);
    // Only what is new is read out: each time the clock went on would be too often.
    if (events.length) find("news").textContent = `${count(events.length, "new event")} at ${clock()}.`;
    return events.length;
  }

  /** Forget everything. */
  clear() {
    this.#load += 1;
    this.#table.clear();
    find("news").textContent = "";
    this.#tell(null);
  }

  async #more() {
    const load = this.#load;
    // The cursor names a place and not a number of rows: what has arrived above it moves nothing.
    const page = await readEvents(this.#query(), this.#cursor);
    if (load !== this.#load) return;
    const added = this.#table.add(page.items);
    this.#tell(page.next_cursor);
    find("news").textContent = `${count(added, "older event")} added.`;
  }

  #query() {
    const query = this.#filters().query;
    return { ...query, from: query.from ?? this.#range().from };
  }

  #tell(cursor) {
    this.#cursor = cursor;
    const { events } = this.#table;
    find("more-events").hidden = cursor === null;
    find("events-end").textContent = cursor === null ? `${count(events.length, "event")}: these are all.` : `${count(events.length, "event")} so far.`;
    const changed = events.filter(({ chain }) => !chain.intact).length;
    const alarm = changed ? `The chain check fails for ${count(changed, "record")} below: somebody has changed the log.` : "";
    if (find("chain-alarm").textContent !== alarm) find("chain-alarm").textContent = alarm;
  }
}

function clock() {
  return new Date().toLocaleTimeString("en-GB");
}
