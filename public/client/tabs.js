// The open pages ("tabs") of this origin: messages between them, and locks that tell which of them have a session.
//
// Other origins get no message: a BroadcastChannel belongs to one origin. But a script on any page of this origin can ask
// for the tokens. So these pages need an origin of their own, without pages of other applications.

import { Problem } from "./http.js";

/** Milliseconds to wait for other tabs. A suspended tab does not answer. */
const ANSWER_TIME = 1_000;
/** Milliseconds to wait for a lock. Nothing that needs the lock takes longer, unless its tab is suspended. */
const LOCK_TIME = 20_000;

/** Resolves to whether tabs share a session. If not, each tab has a session of its own. */
const areShared = detectSharing();

async function detectSharing() {
  try {
    // Browsers have locks only on HTTPS and on localhost. The request fails if the user blocks the storage of this site.
    await navigator.locks.query();
    return Boolean(globalThis.BroadcastChannel);
  } catch {
    return false;
  }
}

export class Tabs {
  #name;
  #channel = null;
  #leave = () => {};
  /** The questions of this tab by id: the number of missing answers, and the function to call after the last one. */
  #questions = new Map();

  /**
   * Start to receive. Tabs with the same `name` share messages. `receive(message)` is called for each message of another
   * tab.
   */
  constructor(name, receive) {
    this.#name = name;
    this.#open(receive);
  }

  async #open(receive) {
    if (!(await areShared)) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener("message", ({ data }) => {
      receive(data);
      this.#count(data.answers);
    });
  }

  /** Send a message to all other tabs. */
  post(message) {
    this.#channel?.postMessage(message);
  }

  /**
   * Tell the other tabs that this one has the session `sid`, until `leave` is called or the tab is closed. Only the lock's
   * existence tells it. The lock also stops the browser from suspending the tab or from caching it after the user has
   * left.
   */
  async enter(sid) {
    this.leave();
    const left = new Promise((resolve) => (this.#leave = resolve));
    if (await areShared) navigator.locks.request(this.#presence(sid), { mode: "shared" }, () => left);
  }

  /** This tab no longer has a session. */
  leave() {
    this.#leave();
  }

  /**
   * Send `question` to the tabs that have the session `sid`, or to those that have any session if `sid` is null. Resolve
   * after `receive` has processed the last answer, or after one second.
   */
  async ask(sid, question) {
    const count = await this.#countOthers(sid);
    if (count <= 0) return;
    const id = crypto.randomUUID();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ANSWER_TIME);
      this.#questions.set(id, { count, resolve: () => (clearTimeout(timer), resolve()) });
      this.post({ ...question, question: id });
    });
    this.#questions.delete(id);
  }

  /** Call `action()` while no other tab calls one for the session `sid`. Throws a Problem if the others do not finish. */
  async exclusively(sid, action) {
    if (!(await areShared)) return action();
    const waiting = new AbortController();
    const problem = new Problem(0, { detail: "Another tab of this page does not respond. Close it.", code: "tab_suspended" });
    const timer = setTimeout(() => waiting.abort(problem), LOCK_TIME);
    return navigator.locks.request(`${this.#name} refresh ${sid}`, { signal: waiting.signal }, () => {
      clearTimeout(timer);
      return action();
    });
  }

  async #countOthers(sid) {
    if (!(await areShared)) return 0;
    const { held } = await navigator.locks.query();
    const others = held.filter(({ name }) => (sid === null ? name.startsWith(this.#presence("")) : name === this.#presence(sid)));
    return sid === null ? others.length : others.length - 1; // This tab has the session `sid` too.
  }

  #count(answered) {
    const question = this.#questions.get(answered);
    if (!question) return;
    question.count -= 1;
    if (question.count <= 0) question.resolve();
  }

  #presence(sid) {
    return `${this.#name} session ${sid}`;
  }
}
