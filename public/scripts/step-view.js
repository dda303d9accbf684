// One step of the diagram: an arrow between two lanes, a description and, under "The message", the message itself.

import { make } from "./elements.js";
import { jsonView } from "./json-view.js";

const LANES = { server: "Server", browser: "Browser", authenticator: "Authenticator" };
const STATES = { waiting: "", active: "now", done: "done", failed: "failed" };

export class StepView {
  #state = make("span", { class: "state" });
  #messages = make("div", { class: "messages" });
  #details = make("details", { hidden: true }, make("summary", {}, "The message"), this.#messages);

  constructor(step, number) {
    const { from, to } = step;
    const route =
      from === to
        ? [make("span", { class: `who ${from}` }, LANES[from])]
        : [make("span", { class: `who ${from}` }, LANES[from]), " to ", make("span", { class: `who ${to}` }, LANES[to])];
    this.element = make(
      "li",
      { class: `step from-${from} to-${to}`, "data-step": step.id },
      make("div", { class: "rail", "aria-hidden": "true" }, make("span", { class: "arrow" }), make("span", { class: "number" }, String(number))),
      make(
        "div",
        { class: "telling" },
        make("h3", {}, step.title, " ", this.#state),
        make("p", { class: "route" }, ...route),
        make("p", { class: "text" }, step.text),
        make("p", { class: "spec" }, make("a", { href: step.spec.href, rel: "noreferrer" }, step.spec.text)),
        this.#details,
      ),
    );
    this.state = "waiting";
  }

  set state(state) {
    this.element.dataset.state = state;
    this.#state.textContent = STATES[state];
    if (state === "active") this.element.setAttribute("aria-current", "step");
    else this.element.removeAttribute("aria-current");
  }

  set isOpen(isOpen) {
    this.#details.open = isOpen;
  }

  /** Remove the messages of the last run. */
  reset() {
    this.state = "waiting";
    this.#messages.replaceChildren();
    this.#details.hidden = true;
  }

  /** Show messages: `{title, line?, note?, json?, checks?}`. `marked` is the value to highlight in them. */
  show(messages, marked) {
    this.#messages.replaceChildren(...messages.map((message) => messageView(message, marked)));
    this.#details.hidden = messages.length === 0;
  }
}

function messageView({ title, line, note, json, checks }, marked) {
  const view = make("div", { class: "message" }, make("h4", {}, title));
  if (line) view.append(make("p", { class: "line" }, make("code", {}, line)));
  if (note) view.append(make("p", { class: "note" }, note));
  if (json !== undefined) view.append(jsonView(json, marked));
  if (checks) view.append(make("ul", { class: "checks" }, ...checks.map((check) => checkView(check, marked))));
  return view;
}

/** Make a check. `holds` is true, false, or null if only the server can check it. */
function checkView({ text, found, holds }, marked) {
  const verdict = holds === null ? "only the server can check" : holds ? "holds" : "does not hold";
  const value = make("code", {}, ...(found === marked ? [make("mark", {}, found)] : [String(found ?? "")]));
  return make(
    "li",
    { "data-holds": String(holds) },
    make("span", { class: "check-text" }, text, " ", make("span", { class: "verdict" }, verdict)),
    ...(found === undefined ? [] : [value]),
  );
}
