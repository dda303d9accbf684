// A ceremony of WebAuthn while it runs: what ceremonies.js reports to, step by step, and what ends it. This one has
// nobody who watches; the diagram's shows each step.

/** It is over when it has finished or failed, or when the next one has begun. */
export class Run {
  #abort = new AbortController();
  /** The challenge: highlighted wherever it turns up. */
  marked = null;

  /** Ends what the browser is doing for this ceremony. */
  get signal() {
    return this.#abort.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  /** Go on to a step and show its messages. */
  async reach() {
    this.signal.throwIfAborted();
  }

  /** Show the messages of a step, or more of them now that they are known. */
  show() {}

  /** Do a part of the ceremony. If that fails, the ceremony has failed. */
  async during(part) {
    try {
      return await part();
    } catch (error) {
      if (!this.isOver) this.fail(error);
      throw error;
    }
  }

  /** It did not work. */
  fail() {
    this.abandon();
  }

  /** It worked. */
  finish() {
    this.abandon();
  }

  /** End it where it is. */
  abandon() {
    this.#abort.abort();
  }
}
