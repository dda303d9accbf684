// The filters of the event list: a form whose fields have the names of the API's parameters.

import { find, make, say } from "../elements.js";
import { onSubmit, showProblem } from "../forms.js";
import { READING, STARTUP } from "./audit-log.js";
import { EVENT_MEANINGS } from "./event-meanings.js";

export class Filters {
  #form = find("filters");
  #onChange;

  /** `onChange()` loads the events that match the filters. It throws an Error if that fails. */
  constructor(onChange) {
    this.#onChange = onChange;
    find("filter-event").append(...Object.keys(EVENT_MEANINGS).map((event) => make("option", {}, event)));
    onSubmit(this.#form, onChange);
    find("clear-filters").addEventListener("click", () => {
      this.#form.reset();
      this.#apply();
    });
  }

  /** Whether starts of functions are shown. Each environment writes one, so there are many. */
  get showsStarts() {
    const { event, starts } = this.#form.elements;
    return starts.checked || event.value === STARTUP;
  }

  /** The parameters of GET /audit/events, without those that are empty. */
  get query() {
    const { from, to, readings, starts, ...texts } = Object.fromEntries(new FormData(this.#form));
    const query = Object.fromEntries(Object.entries(texts).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));
    if (from) query.from = new Date(from);
    if (to) query.to = new Date(to);
    // This page reads the log every few seconds. Without this filter, the list would soon contain only its requests.
    if (!readings && query.reason !== READING) query.except_reason = READING;
    return query;
  }

  /** Replace all filters by these, and go to the list. Values are texts or Dates. */
  replace(values) {
    this.#form.reset();
    this.add(values);
    find("events-heading").focus();
  }

  /** Add these filters. */
  add(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements.namedItem(name);
      const text = value instanceof Date ? localTime(value) : value;
      // The event may be one that this page does not know.
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) field.append(make("option", {}, text));
      field.value = text;
    }
    this.#apply();
  }

  async #apply() {
    const problem = this.#form.querySelector(".problem");
    problem.replaceChildren();
    try {
      await this.#onChange();
      say("");
    } catch (error) {
      showProblem(problem, error);
    }
  }
}

/** Return a Date for <input type="datetime-local">: in the user's time zone, without the zone's name. */
function localTime(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
