// The list of events that match the filters: older pages by the server's cursor, new events by polling.

import { find } from "../elements.js";
import { onPress } from "../forms.js";
import { READING, readEvents, STARTUP } from "./audit-log.js";
import { openEvent } from "./event-dialog.js";
import { EventTable } from "./event-table.js";
import { clock, count } from "./texts.js";

/** Milliseconds before the newest event from which a poll reads again: events are not stored in the order of time. */
const OVERLAP = 10_000;
/** If more events are new, the list is loaded again. */
const MOST_NEW = 500;
/** The maximum number of pages to read until one has an event to show. */
const MOST_PAGES = 5;

export class EventList {
  #filters;
  #range;
  #table;
  /** Ids of the events that were read but are not shown. */
  #hidden = new Set();
  #cursor = null;
  /** The time of the newest event in milliseconds, and the number of events since the list was loaded. */
  #since = 0;
  #arrived = 0;
  /** The number of loads. The response to an earlier load is ignored. */
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
    find("news").textContent = `${count(shown.length, "event")}${cursor ? ", and more" : ""}. Read at ${clock()}.`;
  }

  /** Read new events. Return their number. */
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
    // Screen readers announce this text, so it changes only when there are new events.
    if (shown.length) find("news").textContent = `${count(shown.length, "new event")} at ${clock()}.`;
    return shown.length;
  }

  /** Remove all events. */
  clear() {
    this.#load += 1;
    this.#table.clear();
    this.#hidden.clear();
    find("news").textContent = "";
    this.#tell(null);
  }

  async #more() {
    const load = this.#load;
    // The cursor is a place in the log. New events above do not move it.
    const { items, shown, cursor } = await this.#read(this.#query(), this.#cursor);
    if (load !== this.#load) return;
    const added = this.#add(items, shown);
    this.#tell(cursor);
    find("news").textContent = `${count(added, "older event")} added.`;
  }

  /** Read a page, and further pages while there is no event to show. Return `{items, shown, cursor}`. */
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

  /** Return the events to show. A start of a function is always shown if its chain check fails. */
  #shown(events) {
    if (this.#filters().showsStarts) return events;
    return events.filter(({ event, chain }) => event !== STARTUP || !chain.intact);
  }

  /** Add the events `shown` to the table, and remember the others as hidden. Return the number of added events. */
  #add(events, shown) {
    for (const { id } of events) this.#hidden.add(id);
    for (const { id } of shown) this.#hidden.delete(id);
    return this.#table.add(shown);
  }

  /**
   * Read an event again and show its chain check in the table. Return null if the log no longer has the event at its
   * time. If the MAC has changed, the record has been replaced, even if the new MAC is valid.
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
    find("events-end").textContent = cursor === null ? `${count(events.length, "event")}, no older ones.` : `${count(events.length, "event")} so far.`;
    const changed = events.filter(({ chain }) => !chain.intact).length;
    const alarm = changed ? `The chain check fails for ${count(changed, "record")} below: the audit log has been changed.` : "";
    if (find("chain-alarm").textContent !== alarm) find("chain-alarm").textContent = alarm;
  }
}
