// The events that the filters let pass: pages by the server's cursor, and what is new since, by polling.

import { find } from "../elements.js";
import { onPress } from "../forms.js";
import { READING, readEvents, STARTUP } from "./audit-log.js";
import { openEvent } from "./event-dialog.js";
import { EventTable } from "./event-table.js";
import { clock, count } from "./texts.js";

/** Milliseconds that a poll looks back from the newest event: two that happen at once are not stored in their order. */
const OVERLAP = 10_000;
/** More than this, and a poll begins the list anew. */
const MOST_NEW = 500;
/** Pages to go through, at the most, for one that has something to show. */
const MOST_PAGES = 5;

export class EventList {
  #filters;
  #range;
  #table;
  /** Ids of events that were read and are not shown. */
  #hidden = new Set();
  #cursor = null;
  /** When the list was loaded, and the newest event since: milliseconds. */
  #since = 0;
  #arrived = 0;
  /** Counts loads: an answer to an older one comes too late. */
  #load = 0;

  constructor(filters, range) {
    this.#filters = filters;
    this.#range = range;
    const open = (event) => openEvent(event, () => this.#readAgain(event));
    this.#table = new EventTable(open, (values) => filters().add(values));
    onPress(find("more-events"), find("poll-problem"), () => this.#more());
  }

  /** Show the first page. */
  async load() {
    const load = ++this.#load;
    const query = this.#query();
    const { items, shown, cursor } = await this.#read(query, null);
    if (load !== this.#load) return;
    this.#table.clear();
    this.#hidden.clear();
    this.#add(items, shown);
    this.#arrived = 0;
    this.#since = items.length ? Date.parse(items[0].time) : query.from.getTime();
    this.#tell(cursor);
    find("news").textContent = `${count(shown.length, "event")}${cursor ? ", and more" : ""}. Looked at ${clock()}.`;
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
      for (const event of page.items) this.#table.check(event);
      const unknown = page.items.filter((event) => !this.#table.has(event) && !this.#hidden.has(event.id));
      events.push(...unknown);
      cursor = unknown.length ? page.next_cursor : null;
    } while (cursor && events.length <= MOST_NEW);
    if (events.length > MOST_NEW || this.#arrived > MOST_NEW) {
      await this.load();
      return events.length;
    }
    this.#arrived += events.length;
    if (events.length) this.#since = Math.max(this.#since, Date.parse(events[0].time));
    const shown = this.#shown(events);
    this.#add(events, shown);
    this.#tell(this.#cursor);
    // Only what is new is read out: each time the clock went on would be too often.
    if (shown.length) find("news").textContent = `${count(shown.length, "new event")} at ${clock()}.`;
    return shown.length;
  }

  /** Forget everything. */
  clear() {
    this.#load += 1;
    this.#table.clear();
    this.#hidden.clear();
    find("news").textContent = "";
    this.#tell(null);
  }

  async #more() {
    const load = this.#load;
    // The cursor names a place and not a number of rows: what has arrived above it moves nothing.
    const { items, shown, cursor } = await this.#read(this.#query(), this.#cursor);
    if (load !== this.#load) return;
    const added = this.#add(items, shown);
    this.#tell(cursor);
    find("news").textContent = `${count(added, "older event")} added.`;
  }

  /** Read a page, or several, if the first ones have nothing to show: `{items, shown, cursor}`. */
  async #read(query, cursor) {
    const items = [];
    let shown = [];
    let next = cursor;
    for (let pages = 0; pages === 0 || (pages < MOST_PAGES && next && !shown.length); pages += 1) {
      const page = await readEvents(query, next);
      items.push(...page.items);
      shown = this.#shown(items);
      next = page.next_cursor;
    }
    return { items, shown, cursor: next };
  }

  /** The events that are to be seen. A start whose chain check fails is always one. */
  #shown(events) {
    if (this.#filters().showsStarts) return events;
    return events.filter(({ event, chain }) => event !== STARTUP || !chain.intact);
  }

  /** Put events into the table, those that are `shown`; return how many of them were not there yet. */
  #add(events, shown) {
    for (const { id } of events) this.#hidden.add(id);
    for (const { id } of shown) this.#hidden.delete(id);
    return this.#table.add(shown);
  }

  /**
   * Read one event again, and show in the table what its chain check says now. Return it, or null: it is not found where
   * it was. Another MAC is another record, whether or not it fits.
   */
  async #readAgain(event) {
    const from = new Date(event.time);
    const query = { from, to: new Date(from.getTime() + 1), except_reason: event.reason === READING ? null : READING };
    let found;
    let cursor = null;
    do {
      const page = await readEvents(query, cursor);
      found = page.items.find(({ id }) => id === event.id);
      cursor = page.next_cursor;
    } while (!found && cursor);
    const intact = Boolean(found?.chain.intact) && found.chain.mac === event.chain.mac;
    this.#table.check({ id: event.id, chain: { intact } });
    this.#tell(this.#cursor);
    return found ? { ...found, chain: { ...found.chain, intact } } : null;
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
