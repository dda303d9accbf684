// The details of a security event: all fields, the meaning of the event, and the check of its audit record.

import { find, make, makeFacts } from "../elements.js";
import { chainMark } from "./event-table.js";
import { EVENT_MEANINGS } from "./event-meanings.js";
import { clock, makeCode, makeText, withCode } from "./texts.js";

/** The event that the dialog shows. Late responses about other events are ignored. */
let shown = null;

/** Set up the dialog, once. */
export function setUpEventDialog() {
  find("close-event").addEventListener("click", () => find("event").close());
}

/**
 * Show an event. The browser keeps the focus inside the dialog and restores it afterwards. `readAgain()` reads the event
 * from the log again, and returns null if the log no longer has it.
 */
export function openEvent(event, readAgain) {
  const check = make("div", { role: "status" }, verdict(event.chain.intact, "Checked when the list was read. The page is checking the record again."));
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

/** Check the record again, because an attacker may have changed it after the list was read. */
async function checkAgain(event, readAgain, check) {
  let words;
  try {
    const now = await readAgain();
    words = now ? verdict(now.chain.intact, `Checked at ${clock()}.`) : goneVerdict(`Checked at ${clock()}.`);
  } catch (error) {
    words = verdict(event.chain.intact, `Checked when the list was read. The new check has failed: ${error.message}`);
  }
  if (shown === event) check.replaceChildren(words);
}

/** Close the dialog and remove the event from it. */
export function closeEvent() {
  shown = null;
  find("event").close();
  find("event-content").replaceChildren();
}

function meaning({ event, reason }) {
  const known = Object.hasOwn(EVENT_MEANINGS, event) && EVENT_MEANINGS[event];
  if (!known) return make("p", { class: "summary" }, "This page does not know this event.");
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
  const personal = (value) => (event.erased ? make("em", {}, "erased with the personal data of this account") : optional(value));
  return [
    ["Time", makeCode(event.time)],
    ["Outcome", makeText(event.outcome)],
    ["Severity", makeText(event.severity)],
    ["Reason", optional(event.reason)],
    ["Account", optional(event.user_id)],
    ["Client IP", personal(event.source_ip)],
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
  return entries.length ? make("dl", { class: "facts" }, ...makeFacts(entries)) : make("p", { class: "none" }, "No further fields.");
}

function verdict(isIntact, when) {
  const words = isIntact
    ? "The record is unchanged, and so is its place in the chain: its MAC is valid."
    : "The MAC of this record is not valid. It covers the record and the MAC of the record before it. So this record was " +
      "changed, or the record before it was changed or deleted. " + NEXT;
  return verdictBox(isIntact, chainMark(isIntact), words, when);
}

function goneVerdict(when) {
  const mark = make("span", { class: "chain", "data-intact": "false" }, "no longer in the log");
  return verdictBox(false, mark, "The log no longer has this record at its time: the record was deleted, or its time was changed. " + NEXT, when);
}

const NEXT =
  "To find other changed records, run `uv run audit verify` on the database. Compare the record with the log line of the " +
  "same request, which also contains the MAC.";

function verdictBox(isIntact, mark, words, when) {
  return make(
    "div",
    { class: "verdict", "data-intact": String(isIntact) },
    mark,
    make("p", {}, ...withCode(words)),
    make("p", { class: "checked hint" }, when),
  );
}
