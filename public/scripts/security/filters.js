// The filters of the event list: a form whose fields have the names of the API's parameters.

import { find, make, say } from "../elements.js";
import { onSubmit, showProblem } from "../forms.js";
import { READING, STARTUP } from "./audit-log.js";
import { EVENT_MEANINGS } from "./event-meanings.js";

export class Filters {
  #form = find("filters");
  #onChange;

  /** `onChange()` loads what the filters let pass, and throws what went wrong. */
  constructor(onChange) {
    this.#onChange = onChange;
    find("filter-event").append(...Object.keys(EVENT_MEANINGS).map((event) => make("option", {}, event)));
    onSubmit(this.#form, onChange);
    find("clear-filters").addEventListener("click", () => {
      this.#form.reset();
      this.#apply();
    });
  }

  /** Whether events that begin a chain are to be seen: there is one for each environment that has ever run. */
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
    // This page reads every few seconds. Its own readings would soon be all that one sees of the log.
    if (!readings && query.reason !== READING) query.except_reason = READING;
    return query;
  }

  /** Let these filters take the place of all others, and go to the list. Values are texts or Dates. */
  replace(values) {
    this.#form.reset();
    this.add(values);
    find("events-heading").focus();
  }

  /** Filter by these as well. */
  add(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements.namedItem(name);
      const text = value instanceof Date ? localTime(value) : value;
      // An event that this page does not know yet.
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

/** Return a Date as <input type="datetime-local"> has it: in the person's own zone, without naming it. */
function localTime(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
