// The diagram: three lanes with the steps of the selected flow. A Run fills in the messages during the ceremony.

import { Problem } from "../client/http.js";
import { find, make, say } from "./elements.js";
import { FLOWS } from "./flows.js";
import { Run } from "./run.js";
import { StepView } from "./step-view.js";

/** A ceremony whose steps the diagram shows while it runs. */
class DrawnRun extends Run {
  #steps;
  #current = null;

  constructor(steps) {
    super();
    this.#steps = steps;
    for (const step of steps.values()) step.reset();
  }

  /** Continue with a step and show its messages. If the user stops after each message, wait for the user. */
  async reach(id, messages = []) {
    await super.reach();
    if (this.#current) this.#current.state = "done";
    this.#current = this.#steps.get(id);
    this.#current.state = "active";
    this.show(id, messages);
    if (find("pause").checked) {
      this.#current.isOpen = true;
      this.#current.element.scrollIntoView({ block: "nearest" });
      await userContinues(this.signal);
    }
  }

  show(id, messages) {
    if (this.isOver) return; // An abandoned run must not show the messages that it still receives.
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

  /** Abandon the run, and delete its messages and its challenge. */
  forget() {
    this.abandon();
    this.marked = null;
    for (const step of this.#steps.values()) step.reset();
  }

  /** Show the error at the current step. */
  fail(error) {
    const title = error instanceof Problem ? `Rejected: ${error.status}` : "Failed";
    const json = error instanceof Problem ? error.document : undefined;
    this.#current.state = "failed";
    this.#current.show([{ title, note: error.message, json }], this.marked);
    this.#current.isOpen = true;
    super.fail(error);
  }
}

/** Wait until the user presses "Next message" or unchecks "Stop after each message". */
function userContinues(signal) {
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

/** The part of the page with the flows. */
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

  /** Show a flow with the messages of its last run, if there was one. */
  choose(id) {
    for (const flow of this.#flows.values()) {
      flow.list.hidden = flow.id !== id;
      flow.radio.checked = flow.id === id;
    }
    find("flow-summary").textContent = this.#flows.get(id).summary;
  }

  /** Start a run of a flow. Abandon the previous run: the user and the authenticator can do one ceremony at a time. */
  start(id) {
    this.#run?.abandon();
    this.choose(id);
    this.#run = new DrawnRun(this.#flows.get(id).steps);
    say("");
    return this.#run;
  }

  /** Abandon the run, and delete all messages, because they contain tokens, e-mail addresses and user handles. */
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
