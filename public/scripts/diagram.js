// The diagram: three lanes, the steps of the flow that is chosen, and a Run that fills them as the ceremony goes on.

import { Problem } from "./api.js";
import { find, make, say } from "./elements.js";
import { FLOWS } from "./flows.js";
import { Run } from "./run.js";
import { StepView } from "./step-view.js";

/** A ceremony that is drawn while it runs. */
class DrawnRun extends Run {
  #steps;
  #current = null;

  constructor(steps) {
    super();
    this.#steps = steps;
    for (const step of steps.values()) step.reset();
  }

  /** Go on to a step and show its messages. Returns when the person wants to go on, if they asked for stops. */
  async reach(id, messages = []) {
    await super.reach();
    if (this.#current) this.#current.state = "done";
    this.#current = this.#steps.get(id);
    this.#current.state = "active";
    this.show(id, messages);
    if (find("pause").checked) {
      this.#current.isOpen = true;
      this.#current.element.scrollIntoView({ block: "nearest" });
      await personWantsToGoOn(this.signal);
    }
  }

  show(id, messages) {
    if (this.isOver) return; // what a run that was ended still learns is nobody's to see
    this.#steps.get(id).show(messages, this.marked);
  }

  async during(part) {
    try {
      return await super.during(part);
    } finally {
      find("next-step").hidden = true;
    }
  }

  finish() {
    this.#current.state = "done";
    super.finish();
  }

  /** End it where it is, and keep no message and no challenge. */
  forget() {
    this.abandon();
    this.marked = null;
    for (const step of this.#steps.values()) step.reset();
  }

  /** Say at the step where it happened what went wrong. */
  fail(error) {
    const title = error instanceof Problem ? `Refused: ${error.status}` : "Failed";
    const json = error instanceof Problem ? error.document : undefined;
    this.#current.state = "failed";
    this.#current.show([{ title, note: error.message, json }], this.marked);
    this.#current.isOpen = true;
    super.fail(error);
  }
}

/** Wait until the person presses "Next message", or no longer wants to stop. */
function personWantsToGoOn(signal) {
  const button = find("next-step-button");
  const pause = find("pause");
  find("next-step").hidden = false;
  return new Promise((resolve, reject) => {
    const finished = new AbortController();
    const on = (target, event, action) =>
      target.addEventListener(event, () => (finished.abort(), action()), { signal: finished.signal });
    on(button, "click", resolve);
    on(pause, "change", resolve);
    on(signal, "abort", () => reject(signal.reason));
  });
}

/** The part of the page that shows the flows. */
export class Diagram {
  #flows = new Map();
  #run = null;

  constructor() {
    for (const flow of FLOWS) {
      const steps = new Map(flow.steps.map((step, place) => [step.id, new StepView(step, place + 1)]));
      const list = make("ol", { id: `flow-${flow.id}` }, ...[...steps.values()].map((step) => step.element));
      const radio = make("input", { type: "radio", name: "flow", id: `choose-${flow.id}`, value: flow.id });
      radio.addEventListener("change", () => this.choose(flow.id));
      find("flows").append(make("span", { class: "option" }, radio, make("label", { for: radio.id }, flow.name)));
      find("steps").append(list);
      this.#flows.set(flow.id, { ...flow, steps, list, radio });
    }
    find("open-all").addEventListener("click", () => this.#openAll());
    this.choose("registration");
  }

  /** Show a flow: as its last run left it, or as it would go. */
  choose(id) {
    for (const flow of this.#flows.values()) {
      flow.list.hidden = flow.id !== id;
      flow.radio.checked = flow.id === id;
    }
    find("flow-summary").textContent = this.#flows.get(id).summary;
  }

  /** Begin a run of a flow, and end the one before it if it has not ended: there is one person and one authenticator. */
  start(id) {
    this.#run?.abandon();
    this.choose(id);
    this.#run = new DrawnRun(this.#flows.get(id).steps);
    say("");
    return this.#run;
  }

  /** End what runs, and forget every message: they hold tokens, addresses and user handles. */
  reset() {
    this.#run?.forget();
    this.#run = null;
    for (const flow of this.#flows.values()) for (const step of flow.steps.values()) step.reset();
  }

  #openAll() {
    const button = find("open-all");
    const isOpen = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOpen));
    for (const flow of this.#flows.values()) for (const step of flow.steps.values()) step.isOpen = isOpen;
  }
}
