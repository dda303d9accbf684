// An event's detail: every field, what the event means, and whether its record is as it was written.

import { find, make, makeFacts } from "../elements.js";
import { chainMark } from "./event-table.js";
import { EVENT_MEANINGS } from "./event-meanings.js";
import { clock, makeCode, makeText, withCode } from "./texts.js";

/** The event that is shown: an answer about another one comes too late. */
let shown = null;

/** Set up the dialog, once. */
export function setUpEventDialog() {
  find("close-event").addEventListener("click", () => find("event").close());
}

/**
 * Show an event. The browser keeps the focus inside and gives it back afterwards. `readAgain()` returns the event as the
 * log has it now, or null where it is not found any more.
 */
export function openEvent(event, readAgain) {
  const check = make("div", { role: "status" }, verdict(event.chain.intact, "The check of when the list was read. It is being made again."));
  shown = event;
  find("event-heading").replaceChildren(makeText(event.event));
  find("event-content").replaceChildren(
    meaning(event),
    make("h3", {}, "What happened"),
    make("dl", { class: "facts" }, ...makeFacts(facts(event))),
    make("h3", {}, "Further fields"),
    detail(event.detail),
    make("h3", {}, "Chain check"),
    check,
    make("dl", { class: "facts" }, ...makeFacts([
      ["Chain", makeCode(event.chain.id)],
      ["Sequence", makeCode(event.chain.sequence)],
      ["MAC", makeCode(event.chain.mac)],
    ])),
  );
  find("event").showModal();
  find("event").scrollTop = 0;
  checkAgain(event, readAgain, check);
}

/** Say what the chain check says now. The list's may be old: a record can be changed after it was read. */
async function checkAgain(event, readAgain, check) {
  let words;
  try {
    const now = await readAgain();
    words = now ? verdict(now.chain.intact, `Checked at ${clock()}.`) : goneVerdict(`Checked at ${clock()}.`);
  } catch (error) {
    words = verdict(event.chain.intact, `Checked when the list was read, and not now: ${error.message}`);
  }
  if (shown === event) check.replaceChildren(words);
}

/** Forget the event that was shown. */
export function closeEvent() {
  shown = null;
  find("event").close();
  find("event-content").replaceChildren();
}

function meaning({ event, reason }) {
  const known = Object.hasOwn(EVENT_MEANINGS, event) && EVENT_MEANINGS[event];
  if (!known) return make("p", { class: "summary" }, "An event that this page does not know.");
  const because = Object.hasOwn(known.reasons, reason) && known.reasons[reason];
  return make(
    "div",
    { class: "meaning" },
    make("p", {}, "Recorded when ", ...withCode(known.when), "."),
    ...(because ? [make("p", {}, "Here: ", ...withCode(because), ".")] : []),
    make("p", {}, make("strong", {}, "What to do: "), ...withCode(known.respond)),
  );
}

function facts(event) {
  const personal = (value) => (event.erased ? make("em", {}, "erased, with the personal data of this account") : optional(value));
  return [
    ["Time", makeCode(event.time)],
    ["Outcome", makeText(event.outcome)],
    ["Severity", makeText(event.severity)],
    ["Reason", optional(event.reason)],
    ["Account", optional(event.user_id)],
    ["Source IP", personal(event.source_ip)],
    ["User agent", personal(event.user_agent)],
    ["Request", event.path ? makeCode(`${event.method} ${event.path}`) : optional(null)],
    ["Request id", optional(event.request_id)],
    ["Function", optional(event.function)],
  ];
}

function optional(value) {
  return value ? makeCode(value) : make("span", { class: "none" }, "none");
}

function detail(fields) {
  const entries = Object.entries(fields).map(([name, value]) => [makeText(name), makeCode(typeof value === "string" ? value : JSON.stringify(value))]);
  return entries.length ? make("dl", { class: "facts" }, ...makeFacts(entries)) : make("p", { class: "none" }, "There are none.");
}

function verdict(isIntact, when) {
  const words = isIntact
    ? "The record and its place in the chain are as they were written: its MAC fits, and the MAC before it."
    : "Its MAC covers the record, and the MAC of the record before it. One of the two is not what it was: this record was " +
      "changed, or the one before it was changed or deleted. " + NEXT;
  return verdictBox(isIntact, chainMark(isIntact), words, when);
}

function goneVerdict(when) {
  const mark = make("span", { class: "chain", "data-intact": "false" }, "not found any more");
  return verdictBox(false, mark, "The list has this record, and the log has none at its time: it was deleted, or its time was changed. " + NEXT, when);
}

const NEXT =
  "Find out what else was changed: run `uv run audit verify` on the database, and compare with the log line of the same " +
  "request, which has the MAC too.";

function verdictBox(isIntact, mark, words, when) {
  return make(
    "div",
    { class: "verdict", "data-intact": String(isIntact) },
    mark,
    make("p", {}, ...withCode(words)),
    make("p", { class: "checked hint" }, when),
  );
}
